// app.js is the page: who is looking, at what, and what must be drawn anew. The
// address holds the place (#channel=…&thread=…&ts=…), so that links and the
// browser's back button work.

import { $, h, add, icon, toast } from './dom.js';
import { call, emulate, follow, look } from './net.js';
import { composer, encode } from './composer.js';
import { blocks } from './blocks.js';
import { drawer } from './drawer.js';
import { drawMessages, dots } from './messages.js';
import { drawSidebar, heading } from './sidebar.js';
import { showModal } from './dialog.js';
import { closeMenu } from './menu.js';
import { apply, fill, homeView, inChannel, inThread, isMember, markRead, name, partner, statusOf, store, title } from './store.js';

const firstPerson = 'U0ADA';
const at = { channel: '', thread: '', ts: '', tab: 'messages' };
let stopStream = () => {};
let drawing = 0;
let trouble = '';

const main = composer(), side = composer();
// The feet of the panes stay in place, so that a draft keeps its focus whatever
// else is drawn.
const joinBar = h('div', { class: 'join' }), prompts = h('div', { class: 'prompts' });
const mainWork = h('div', { class: 'working', role: 'status' }), sideWork = h('div', { class: 'working', role: 'status' });

// ---- where we are

function readPlace() {
  const given = new URLSearchParams(location.hash.slice(1));
  Object.assign(at, { channel: given.get('channel') || '', thread: given.get('thread') || '', ts: given.get('ts') || '', tab: given.get('tab') || 'messages' });
  const user = given.get('user');
  return user && user !== store.me ? user : '';
}

function go(place, replace) {
  const hash = new URLSearchParams(Object.entries(place).filter(([, v]) => v)).toString();
  if (replace) history.replaceState(null, '', '#' + hash);
  else history.pushState(null, '', '#' + hash);
  readPlace();
  settle();
}

/** settle makes the place one that this person can see, and draws it. */
function settle() {
  closeMenu();
  const known = store.channels.get(at.channel);
  if (at.channel && !known && store.loaded) toast(name(store.me) + ' cannot see that channel.');
  if (!known && store.loaded) {
    const wide = matchMedia('(min-width: 761px)').matches;
    const first = wide && (store.channels.get('C0ENG') || [...store.channels.values()].find((c) => isMember(c) && !c.is_im));
    const place = { channel: first ? first.id : '' };
    history.replaceState(null, '', place.channel ? '#channel=' + place.channel : location.pathname);
    readPlace();
  }
  const root = $('#app');
  root.dataset.view = at.thread ? 'thread' : at.channel ? 'channel' : 'list';
  root.dataset.thread = at.thread ? 'open' : 'closed';
  stick.messages = stick.replies = true;
  draw();
}

const open = (channel) => {
  const ch = store.channels.get(channel);
  go({ channel });
  if (ch?.is_im && store.users.get(partner(ch))?.is_bot) tellOpened('messages', partner(ch));
};
const openThread = (thread) => { go({ channel: at.channel, thread }); if (matchMedia('(hover: hover)').matches) side.focus(); };

async function direct(user) {
  try {
    const got = await call(store.me, 'conversations.open', { users: user });
    if (!store.channels.has(got.channel.id)) await load(store.me);
    open(got.channel.id);
  } catch (err) {
    toast(err.message, true);
  }
}

/** tellOpened tells an app that its Messages or Home tab was opened. */
function tellOpened(tab, bot) {
  const app = store.apps.find((a) => a.bot_user_id === bot);
  if (app) emulate('home', { user: store.me, app: app.id, tab }).catch((err) => toast(err.message, true));
}

// ---- who we are

async function become(user) {
  sessionStorage.setItem('me', user);
  localStorage.setItem('me', user);
  if (location.hash.includes('user=')) history.replaceState(null, '', '#' + new URLSearchParams(Object.entries(at).filter(([k, v]) => v && k !== 'tab')));
  await load(user);
}

let loading = 0; // the newest load wins over those that are still under way

/** load fetches what a person may see, and follows the stream from there. */
async function load(user) {
  const mine = ++loading;
  stopStream();
  try {
    let state;
    try {
      state = await look('state?user=' + encodeURIComponent(user));
    } catch {
      state = await look('state'); // a workspace of other people: be the first of them
      const someone = state.users.find((u) => !u.is_bot && !u.deleted);
      if (!someone) throw new Error('Nobody is in this workspace.');
      user = someone.id;
      state = await look('state?user=' + encodeURIComponent(user));
    }
    if (mine !== loading) return;
    trouble = '';
    fill(user, state);
    document.title = (store.team.name || 'Workspace') + ' · ' + name(user);
    stopStream = follow(user, store.seq, { frame: taken, connected });
  } catch (err) {
    if (mine !== loading) return;
    trouble = 'The workspace does not answer: ' + err.message;
    setTimeout(() => { if (mine === loading) load(user); }, 3000);
  }
  settle();
}

/** connected tells of the connection. A workspace that comes back may be another
 * one, begun anew, whose sequence only looks familiar: fetch its state. */
function connected(up) {
  const banner = $('#banner'), back = up && !banner.hidden;
  banner.hidden = up;
  if (back) load(store.me);
}

function taken(frame) {
  if (frame.type === 'reset') {
    load(store.me);
    return;
  }
  apply(frame);
  if (frame.type === 'channel' && frame.gone && frame.channel === at.channel) settle();
  else draw();
}

// ---- drawing

const draw = () => { if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; drawNow(); }); };

const stick = { messages: true, replies: true }; // follow the newest message

function watchScroll(id) {
  const list = $('#' + id);
  list.addEventListener('scroll', () => { stick[id] = list.scrollHeight - list.scrollTop - list.clientHeight < 60; }, { passive: true });
  new ResizeObserver(() => { if (stick[id] && !at.ts) list.scrollTop = list.scrollHeight; }).observe(list);
}

function drawNow() {
  if (trouble || !store.loaded) {
    $('#foot').hidden = true;
    $('#messages').replaceChildren(h('div', { class: 'state', role: trouble ? 'alert' : null }, trouble || 'Loading the workspace…'));
    return;
  }
  const ch = store.channels.get(at.channel);
  if (ch && !document.hidden) markRead(ch.id);
  drawSidebar({ team: $('#team'), nav: $('#nav'), me: $('#me') }, { current: at.channel, open, direct, become });
  drawChannel(ch);
  drawThread(ch);
  showModal();
}

const label = (ch) => (ch.is_im || ch.is_mpim ? title(ch) : '#' + ch.name);

/** beginning is what stands above a channel's first message. */
const beginning = (ch, bot) => ({
  sign: heading(ch)[0], name: label(ch),
  topic: bot ? 'Talk to ' + title(ch) + ' alone. Nobody else sees this.' : ch.is_im || ch.is_mpim ? 'Only you and ' + title(ch) + ' see this.'
    : 'The beginning of this ' + (ch.is_private ? 'private ' : ch.is_ext_shared ? 'shared ' : '') + 'channel. ' + (ch.topic ? ch.topic + '.' : ''),
});

function drawChannel(ch) {
  const list = $('#messages'), foot = $('#foot'), bot = ch?.is_im && store.apps.find((a) => a.bot_user_id === partner(ch));
  const onHome = Boolean(bot) && at.tab === 'home';
  $('#title').replaceChildren(...(ch ? heading(ch) : ['No channel']));
  $('#topic').textContent = ch ? ch.topic || (bot ? 'App' : '') : '';
  $('#members').replaceChildren(...(ch && !ch.is_im ? [icon('people'), h('span', { title: ch.members.map(name).join(', '), 'aria-label': ch.members.length + ' members: ' + ch.members.map(name).join(', '), role: 'img' }, ch.members.length)] : []));
  drawTabs(ch, bot);
  list.hidden = onHome;
  foot.hidden = onHome || !ch;
  $('#home').hidden = !onHome;
  if (onHome) drawHome(bot);
  if (!ch) {
    list.replaceChildren(h('div', { class: 'state' }, 'Choose a channel.'));
    return;
  }
  const messages = inChannel(ch.id);
  if (messages.length) drawMessages(list, messages, { channel: ch.id, inThread: false, openThread, highlight: at.ts, redraw: draw, encode, intro: beginning(ch, bot) });
  else list.replaceChildren(h('div', { class: 'state' }, h('strong', {}, 'Nothing here yet'), bot ? 'Say hello: ' + name(partner(ch)) + ' answers here.' : 'Be the first to write in ' + label(ch) + '.'));
  follows(list, 'messages');
  const writable = isMember(ch) && !ch.is_archived;
  main.node.hidden = mainWork.hidden = !writable;
  joinBar.hidden = writable;
  if (writable) main.aim({ channel: ch.id, thread: '' }, 'Message ' + label(ch));
  else drawJoin(ch);
  working(mainWork, ch.id);
  offer(writable && store.prompts.get(ch.id), ch);
}

function drawJoin(ch) {
  joinBar.replaceChildren(ch.is_archived ? label(ch) + ' is archived.' : 'You are not in ' + label(ch) + '.');
  if (!ch.is_archived) joinBar.append(h('button', { type: 'button', class: 'button primary', on: { click: () => call(store.me, 'conversations.join', { channel: ch.id }).catch((err) => toast(err.message, true)) } }, 'Join channel'));
}

/** follows keeps a list at its newest message, or at the one that a link names. */
function follows(list, id) {
  const hit = at.ts && list.querySelector('.hit');
  if (hit && list.dataset.shown !== at.ts) {
    list.dataset.shown = at.ts;
    hit.scrollIntoView({ block: 'center' });
    stick[id] = false;
  } else if (stick[id]) {
    list.scrollTop = list.scrollHeight;
  }
}

/** working shows what an app does in a thread; in a channel, only what is not
 * shown below a message there. */
function working(node, channel, thread) {
  const text = thread ? statusOf(channel, thread) : [...(store.statuses.get(channel)?.keys() || [])].filter((ts) => !store.messages.get(channel)?.has(ts)).map((ts) => statusOf(channel, ts)).find(Boolean);
  if ((text || '') !== node.textContent) node.replaceChildren(...(text ? [dots(), text] : []));
}

/** offer shows the prompts that an app suggests in a conversation. */
function offer(p, ch) {
  prompts.hidden = !p;
  if (!p) return;
  prompts.replaceChildren(h('span', { class: 'muted' }, p.title), ...p.prompts.map((one) => h('button', {
    type: 'button', class: 'button small', on: {
      click: () => {
        store.prompts.delete(ch.id);
        draw();
        call(store.me, 'chat.postMessage', { channel: ch.id, text: encode(one.message), thread_ts: p.thread }).catch((err) => toast(err.message, true));
      },
    },
  }, one.title)));
}

let tabsShown = '';

function drawTabs(ch, bot) {
  const tabs = $('#tabs');
  tabs.hidden = !bot;
  const sig = bot ? ch.id + at.tab + store.me : '';
  if (!bot || tabsShown === sig) return;
  tabsShown = sig;
  tabs.replaceChildren(...[['messages', 'Messages'], ['home', 'Home']].map(([id, text]) => h('button', {
    type: 'button', role: 'tab', 'aria-selected': String(at.tab === id || (id === 'messages' && at.tab !== 'home')), data: { tab: id },
    on: { click: () => { go({ channel: ch.id, tab: id === 'home' ? 'home' : '' }); tellOpened(id, bot.bot_user_id); } },
  }, text)));
}

let homeShown = '';

function drawHome(bot) {
  const v = homeView(bot.id), sig = v ? v.id + v.hash : store.me;
  if (homeShown === sig) return;
  homeShown = sig;
  const inputs = new Map();
  const use = async (e, block, chosen) => {
    try {
      await emulate('interact', { user: store.me, view_id: v.id, block_id: block.block_id, action_id: e.action_id, ...chosen });
    } catch (err) {
      toast(err.message, true);
    }
  };
  $('#home').replaceChildren(v ? h('div', { class: 'home-body' }, blocks(v.blocks, { use, inputs })) : h('div', { class: 'state' }, h('strong', {}, 'No Home yet'), name(bot.bot_user_id) + ' has not published a Home tab for you.'));
}

function drawThread(ch) {
  const list = $('#replies');
  if (!ch || !at.thread) {
    list.replaceChildren();
    return;
  }
  $('#thread-of').textContent = label(ch);
  const messages = inThread(ch.id, at.thread);
  if (messages.length) drawMessages(list, messages, { channel: ch.id, inThread: true, openThread, highlight: at.ts, redraw: draw, encode });
  else list.replaceChildren(h('div', { class: 'state' }, 'This thread is gone, or was never here.'));
  follows(list, 'replies');
  $('#thread-foot').hidden = !isMember(ch) || ch.is_archived;
  side.aim({ channel: ch.id, thread: at.thread }, 'Reply…');
  working(sideWork, ch.id, at.thread);
}

// ---- start

function bind() {
  add($('#back'), [icon('back')]);
  add($('#thread-back'), [icon('back')]);
  add($('#thread-close'), [icon('close')]);
  add($('#emulator'), [icon('sliders')]);
  $('#back').addEventListener('click', () => go({}));
  for (const id of ['#thread-back', '#thread-close']) $(id).addEventListener('click', () => go({ channel: at.channel }));
  add($('#foot'), [mainWork, prompts, main.node, joinBar]);
  add($('#thread-foot'), [sideWork, side.node]);
  drawer($('#emulator'));
  setInterval(draw, 30_000); // times and statuses grow old by themselves
  watchScroll('messages');
  watchScroll('replies');
  addEventListener('popstate', place);
  addEventListener('hashchange', place);
  document.addEventListener('visibilitychange', draw);
  document.addEventListener('click', (e) => {
    const link = e.target.closest('a[data-permalink]');
    if (link && !e.metaKey && !e.ctrlKey) {
      e.preventDefault();
      permalink(new URL(link.dataset.permalink));
    }
  });
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Escape' && at.thread && !e.defaultPrevented && !document.querySelector('dialog[open], .popover, .drawer')) go({ channel: at.channel });
  });
}

function place() {
  if (location.hash === '#messages') return; // the skip link
  const user = readPlace();
  if (user) become(user);
  else settle();
}

/** permalink opens a message of this workspace without leaving the page. */
function permalink(url) {
  const m = /^\/archives\/([A-Z0-9]+)\/p(\d+)(\d{6})$/.exec(url.pathname);
  if (!m) return;
  const ts = m[2] + '.' + m[3], known = store.messages.get(m[1])?.get(ts);
  $('#messages').dataset.shown = $('#replies').dataset.shown = '';
  go({ channel: m[1], ts, thread: url.searchParams.get('thread_ts') || (known?.thread_ts && known.thread_ts !== ts ? known.thread_ts : at.channel === m[1] ? at.thread : '') });
}

bind();
await load(readPlace() || sessionStorage.getItem('me') || localStorage.getItem('me') || firstPerson);
