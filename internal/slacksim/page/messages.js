// messages.js draws lists of messages: days, authors, blocks, reactions, the
// replies below a root, and what can be done with each message.

import { h, icon, reconcile, toast, digest } from './dom.js';
import { mrkdwn, emojiNode, safeURL } from './mrkdwn.js';
import { blocks, attachments } from './blocks.js';
import { common, emoji } from './emoji.js';
import { menu, popover, closeMenu } from './menu.js';
import { call, emulate } from './net.js';
import { store, name, statusOf } from './store.js';
import { confirm } from './dialog.js';
import { dayKey, dayName, clockTime, fullTime, ago } from './time.js';

const palette = ['#c2410c', '#0f766e', '#1d4ed8', '#7e22ce', '#be185d', '#4d7c0f', '#0369a1', '#a16207'];

/** avatar is the initials of a user on a colour that stays theirs. */
export function avatar(id, size = '') {
  const u = store.users.get(id);
  if (u?.is_bot) return h('span', { class: 'avatar bot ' + size, 'aria-hidden': 'true' }, icon('robot'));
  const list = [...store.users.keys()].sort();
  return h('span', { class: 'avatar ' + size, 'aria-hidden': 'true', style: { background: palette[Math.max(0, list.indexOf(id)) % palette.length] } }, name(id).slice(0, 1).toUpperCase());
}

const editing = new Map(); // timestamps of messages that are being edited → the draft, if it was touched

/**
 * drawMessages shows list in container. env: {channel, inThread, openThread,
 * highlight (a timestamp), redraw, encode, intro (what a channel is)}.
 */
export function drawMessages(container, list, env) {
  const items = env.intro ? [{ key: 'intro', sig: digest([env.channel, env.intro.topic]), make: () => intro(env.intro) }] : [];
  let before = null;
  list.forEach((m, i) => {
    const day = dayKey(m.ts);
    if (!before || dayKey(before.ts) !== day) {
      items.push({ key: 'day' + day, sig: dayName(m.ts), make: () => h('div', { class: 'day', role: 'separator' }, h('span', {}, dayName(m.ts))) });
      before = null;
    }
    const joined = before && before.user === m.user && before.username === m.username && !before.subtype && !m.subtype && !m.hidden_from_others === !before.hidden_from_others &&
      Number(m.ts) - Number(before.ts) < 300 && !(env.inThread && i === 1);
    const extra = { joined, me: store.me, edit: editing.has(m.ts), status: !env.inThread && statusOf(env.channel, m.ts), hit: env.highlight === m.ts, root: env.inThread && i === 0 && list.length, latest: m.latest_reply && ago(m.latest_reply) };
    items.push({ key: (m.hidden_from_others ? 'e' : 'm') + m.ts, sig: digest([m, extra]), make: () => shown(m, extra, env) });
    if (env.inThread && i === 0 && list.length > 1) {
      const n = list.length - 1;
      items.push({ key: 'replies', sig: 'n' + n, make: () => h('div', { class: 'day replies-line' }, h('span', {}, n === 1 ? '1 reply' : n + ' replies')) });
    }
    before = m;
  });
  reconcile(container, items);
}

const intro = (i) => h('header', { class: 'intro' }, h('span', { class: 'intro-sign' }, i.sign), h('h3', {}, i.name), h('p', {}, i.topic));

/** shown is a message, or a note in its place when its content cannot be drawn:
 * one that is malformed must not take the channel with it. */
function shown(m, extra, env) {
  try {
    return message(m, extra, env);
  } catch {
    return h('article', { class: 'message notice', data: { ts: m.ts } }, h('div', { class: 'gutter' }), h('div', { class: 'message-main' }, 'This message cannot be shown.'));
  }
}

const notices = new Set(['channel_join', 'channel_leave', 'group_join', 'group_leave', 'channel_topic', 'channel_purpose', 'channel_name', 'channel_archive', 'channel_unarchive', 'tombstone', 'assistant_app_thread', 'me_message']);

function message(m, extra, env) {
  if (notices.has(m.subtype) && m.subtype !== 'me_message') return notice(m, env);
  const own = m.user === store.me && !m.bot_id;
  const author = m.username || name(m.user);
  const node = h('article', {
    class: ['message', extra.joined && 'joined', extra.hit && 'hit', m.hidden_from_others && 'ephemeral'].filter(Boolean).join(' '),
    tabIndex: -1, data: { ts: m.ts }, 'aria-label': author + ', ' + fullTime(m.ts),
  },
  h('div', { class: 'gutter' }, extra.joined ? h('time', { class: 'small-time', title: fullTime(m.ts) }, clockTime(m.ts)) : avatar(m.user)),
  h('div', { class: 'message-main' },
    m.hidden_from_others && h('div', { class: 'only-you' }, icon('eye'), 'Only visible to you'),
    m.subtype === 'thread_broadcast' && h('div', { class: 'only-you' }, icon('reply'), env.inThread ? 'Also sent to the channel' : h('button', { type: 'button', class: 'link', on: { click: () => env.openThread(m.thread_ts) } }, 'Replied to a thread')),
    !extra.joined && h('div', { class: 'byline' }, h('span', { class: 'author' }, author),
      m.bot_id && h('span', { class: 'badge' }, 'APP'), outside(m.user),
      h('time', { class: 'time', title: fullTime(m.ts) }, clockTime(m.ts))),
    extra.edit ? editor(m, env) : body(m, env),
    reactions(m, env),
    !env.inThread && m.reply_count > 0 && replies(m, env),
    extra.status && h('button', { type: 'button', class: 'status', on: { click: () => env.openThread(m.thread_ts || m.ts) } }, dots(), extra.status)));
  if (!extra.edit && !m.hidden_from_others) node.append(toolbar(m, own, env));
  return node;
}

export const dots = () => h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i'));

function outside(id) {
  const u = store.users.get(id);
  if (!u || u.team_id === store.team.id) return u?.is_restricted && h('span', { class: 'badge' }, 'GUEST');
  return h('span', { class: 'badge' }, 'OUTSIDE');
}

function notice(m, env) {
  const text = m.subtype === 'tombstone' ? 'This message was deleted.' : m.subtype === 'assistant_app_thread' ? 'New conversation' : null;
  return h('article', { class: 'message notice', data: { ts: m.ts } }, h('div', { class: 'gutter' }),
    h('div', { class: 'message-main' }, text || mrkdwn(m.text), !env.inThread && m.reply_count > 0 && replies(m, env)));
}

/** body is a message's content. What a person wrote is drawn from its text: the
 * block that the composer made of it holds the same, without the styles. */
function body(m, env) {
  const list = m.blocks || [];
  const derived = !m.bot_id && list.length === 1 && list[0].type === 'rich_text';
  const within = { use: (e, block, chosen) => press(m, env.channel, e, block, chosen) };
  const streaming = m.streaming_state && !['completed', 'stopped', 'done', 'errored'].includes(m.streaming_state);
  const main = list.length && !derived ? blocks(list, within) : m.text && mrkdwn(m.text);
  const edited = m.edited && h('span', { class: 'edited', title: fullTime(m.edited.ts) }, '(edited)');
  const last = main && edited && main.classList.contains('mrkdwn') && main.lastElementChild?.matches('p') ? main.lastElementChild : null;
  last?.append(' ', edited);
  return h('div', { class: 'body' + (streaming ? ' streaming' : '') }, main, attachments(m.attachments, within), (m.files || []).map(file), !last && edited);
}

function file(f) {
  const href = safeURL(f.url_private || f.permalink || '');
  const label = [h('span', { class: 'file-name' }, f.title || f.name || 'File'), h('span', { class: 'muted' }, [f.pretty_type || f.filetype, f.size && Math.ceil(f.size / 1024) + ' KB'].filter(Boolean).join(' · '))];
  return href ? h('a', { class: 'file', href, target: '_blank', rel: 'noopener noreferrer' }, icon('file'), label) : h('span', { class: 'file' }, icon('file'), label);
}

async function press(m, channel, e, block, chosen) {
  try {
    await emulate('interact', { user: store.me, channel, message_ts: m.ts, block_id: block.block_id, action_id: e.action_id, ...chosen });
  } catch (err) {
    toast(err.message, true);
  }
}

function replies(m, env) {
  return h('button', { type: 'button', class: 'replies', on: { click: () => env.openThread(m.ts) } },
    h('span', { class: 'faces' }, (m.reply_users || []).slice(0, 4).map((id) => avatar(id, 'tiny'))),
    h('strong', {}, m.reply_count === 1 ? '1 reply' : m.reply_count + ' replies'),
    m.latest_reply && h('span', { class: 'muted' }, 'Last reply ' + ago(m.latest_reply)));
}

async function act(method, args) {
  try {
    return await call(store.me, method, args);
  } catch (err) {
    toast(err.message, true);
    return null;
  }
}

function react(m, channel, code) {
  const mine = (m.reactions || []).some((r) => r.name === code && r.users.includes(store.me));
  return act(mine ? 'reactions.remove' : 'reactions.add', { channel, timestamp: m.ts, name: code });
}

function reactions(m, env) {
  if (!m.reactions?.length) return null;
  const add = h('button', { type: 'button', class: 'reaction add', 'aria-label': 'Add reaction', on: { click: () => picker(add, m, env) } }, icon('smile'));
  return h('div', { class: 'reactions' }, m.reactions.map((r) => {
    const mine = r.users.includes(store.me), who = r.users.map(name).join(', ');
    return h('button', {
      type: 'button', class: mine ? 'reaction mine' : 'reaction', 'aria-pressed': String(mine), title: who + ' reacted with :' + r.name + ':',
      'aria-label': r.name.replaceAll('_', ' ') + ', ' + r.count + ', ' + who, data: { reaction: r.name }, on: { click: () => react(m, env.channel, r.name) },
    }, emojiNode(r.name), ' ', h('span', { class: 'count' }, r.count));
  }), add);
}

function picker(anchor, m, env) {
  popover(anchor, h('div', { class: 'picker', role: 'dialog', 'aria-label': 'Pick a reaction' }, common.map((code) => h('button', {
    type: 'button', 'aria-label': code.replaceAll('_', ' '), title: ':' + code + ':', data: { emoji: code },
    on: { click: () => { closeMenu(); react(m, env.channel, code); } },
  }, emoji(code)))));
}

function toolbar(m, own, env) {
  const more = h('button', { type: 'button', class: 'tool', 'aria-label': 'More actions', 'aria-haspopup': 'menu', data: { tool: 'more' }, on: { click: () => choices(more, m, own, env) } }, icon('more'));
  const smile = h('button', { type: 'button', class: 'tool wide-only', 'aria-label': 'Add reaction', data: { tool: 'react' }, on: { click: () => picker(smile, m, env) } }, icon('smile'));
  return h('div', { class: 'toolbar' }, smile,
    !env.inThread && h('button', { type: 'button', class: 'tool wide-only', 'aria-label': 'Reply in thread', data: { tool: 'reply' }, on: { click: () => env.openThread(m.thread_ts || m.ts) } }, icon('reply')),
    more);
}

function choices(anchor, m, own, env) {
  const shortcuts = store.apps.flatMap((a) => (a.shortcuts || []).filter((s) => s.type === 'message'));
  menu(anchor, [
    { label: 'Add reaction', icon: icon('smile'), run: () => picker(anchor, m, env) },
    !env.inThread && { label: 'Reply in thread', icon: icon('reply'), run: () => env.openThread(m.thread_ts || m.ts) },
    { label: 'Copy link', icon: icon('shared'), run: () => copyLink(env.channel, m.ts) },
    shortcuts.length && { line: true },
    ...shortcuts.map((s) => ({ label: s.name, icon: icon('robot'), data: { shortcut: s.callback_id }, run: () => shortcut(s, m, env) })),
    own && { line: true },
    own && { label: 'Edit message', icon: icon('pen'), data: { choice: 'edit' }, run: () => { editing.set(m.ts, null); env.redraw(); } },
    own && { label: 'Delete message', icon: icon('bin'), danger: true, data: { choice: 'delete' }, run: () => remove(m, env) },
  ].filter(Boolean), 'Actions for this message');
}

async function copyLink(channel, ts) {
  const got = await act('chat.getPermalink', { channel, message_ts: ts });
  if (!got) return;
  try {
    await navigator.clipboard.writeText(got.permalink);
    toast('Link copied.');
  } catch {
    toast(got.permalink); // no permission to the clipboard: show it instead
  }
}

async function shortcut(s, m, env) {
  try {
    await emulate('shortcut', { user: store.me, channel: env.channel, message_ts: m.ts, callback_id: s.callback_id });
  } catch (err) {
    toast(err.message, true);
  }
}

async function remove(m, env) {
  const yes = await confirm({ title: { text: 'Delete message' }, text: { type: 'plain_text', text: 'Delete this message? This cannot be undone.' }, confirm: { text: 'Delete' }, deny: { text: 'Cancel' }, style: 'danger' });
  if (yes) act('chat.delete', { channel: env.channel, ts: m.ts });
}

function editor(m, env) {
  const decoded = editable(m.text);
  const box = h('textarea', { class: 'edit-box', 'aria-label': 'Edit message', value: editing.get(m.ts) ?? decoded, rows: Math.min(8, decoded.split('\n').length + 1) });
  const leave = () => { editing.delete(m.ts); env.redraw(); };
  const save = async () => {
    const text = env.encode(box.value);
    if (!text.trim()) return;
    if (box.value === decoded || await act('chat.update', { channel: env.channel, ts: m.ts, text })) leave();
  };
  box.addEventListener('input', () => editing.set(m.ts, box.value));
  box.addEventListener('keydown', (e) => {
    if (e.key === 'Escape') { e.preventDefault(); leave(); }
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); save(); }
  });
  requestAnimationFrame(() => box.focus());
  return h('div', { class: 'editor' }, box, h('div', { class: 'editor-foot' },
    h('button', { type: 'button', class: 'button', on: { click: leave } }, 'Cancel'),
    h('button', { type: 'button', class: 'button primary', on: { click: save } }, 'Save')));
}

/** editable is a message's text as its author typed it. */
function editable(text) {
  return text.replace(/<@([A-Z0-9]+)(?:\|[^>]*)?>/g, (_, id) => '@' + name(id))
    .replace(/<#([A-Z0-9]+)(?:\|[^>]*)?>/g, (_, id) => '#' + (store.channels.get(id)?.name || id))
    .replace(/<((?:https?|mailto):[^<>|]+)(?:\|[^<>]*)?>/g, '$1')
    .replace(/&(lt|gt|amp);/g, (_, e) => ({ lt: '<', gt: '>', amp: '&' })[e]);
}

