// sidebar.js draws the workspace's name, its channels and conversations, and the
// switch for who you are.

import { h, icon } from './dom.js';
import { avatar } from './messages.js';
import { menu } from './menu.js';
import { store, people, kind, name, title, partner, known, directWith, isUnread, unreadForMe, isMember } from './store.js';

const mark = (ch) => icon(ch.is_private ? 'lock' : ch.is_ext_shared ? 'shared' : 'hash');

/**
 * drawSidebar fills nodes {team, nav, me}. env: {current, open(channel),
 * direct(user), become(user)}.
 */
export function drawSidebar(nodes, env) {
  nodes.team.textContent = store.team.name || 'Workspace';
  const channels = [...store.channels.values()].filter((c) => !c.is_im && !c.is_mpim).sort((a, b) => a.name.localeCompare(b.name));
  const groups = [...store.channels.values()].filter((c) => c.is_mpim);
  const apps = store.apps.map((a) => a.bot_user_id).filter((id) => store.users.has(id));
  const others = known().filter((u) => !u.is_bot).map((u) => u.id);
  const held = nodes.nav.contains(document.activeElement) && document.activeElement.dataset.channel;
  nodes.nav.replaceChildren(
    section('Channels', channels.map((c) => row(c.id, mark(c), c.name, env, () => env.open(c.id), note(c)))),
    section('Agents', apps.map((id) => direct(id, env))),
    section('Direct messages', [...groups.map((c) => row(c.id, icon('people'), title(c), env, () => env.open(c.id))), ...others.map((id) => direct(id, env))]));
  if (held) nodes.nav.querySelector('[data-channel="' + held + '"]')?.focus();
  drawMe(nodes.me, env);
}

const note = (c) => (c.is_archived ? 'archived' : isMember(c) ? '' : 'not joined');

function section(label, rows) {
  return h('section', { class: 'nav-section' }, h('h2', {}, label), rows.length ? h('ul', {}, rows.map((r) => h('li', {}, r))) : h('p', { class: 'nav-empty' }, 'Nothing here yet'));
}

function direct(id, env) {
  const ch = directWith(id);
  return row(ch?.id || 'with' + id, avatar(id, 'tiny'), name(id), env, () => (ch ? env.open(ch.id) : env.direct(id)));
}

function row(id, sign, label, env, go, remark) {
  const current = env.current === id, unread = !current && store.channels.has(id) && isUnread(id), mine = unread && unreadForMe(id);
  return h('button', {
    type: 'button', class: ['nav-row', unread && 'unread', remark && 'faint'].filter(Boolean).join(' '), 'aria-current': current ? 'page' : null, data: { channel: id }, on: { click: go },
  }, sign, h('span', { class: 'nav-name' }, label), remark && h('span', { class: 'nav-note' }, remark), mine > 0 ? h('span', { class: 'count', role: 'img', 'aria-label': mine + ' unread for you' }, mine > 99 ? '99+' : mine)
    : unread && h('span', { class: 'dot', role: 'img', 'aria-label': 'unread' }));
}

function drawMe(button, env) {
  const u = store.users.get(store.me);
  if (!u) return;
  button.replaceChildren(avatar(u.id, 'small'), h('span', { class: 'me-text' }, h('strong', {}, name(u.id)), h('span', {}, kind(u))), icon('chevron'));
  button.setAttribute('aria-label', 'You are ' + name(u.id) + ', ' + kind(u).toLowerCase() + '. Switch person');
  button.onclick = () => menu(button, people().map((p) => ({
    icon: avatar(p.id, 'small'), label: h('span', { class: 'who' }, h('strong', {}, name(p.id)), h('span', {}, kind(p))),
    checked: p.id === store.me, data: { user: p.id }, run: () => env.become(p.id),
  })), 'Who are you?');
}

/** heading is the title of a channel's pane. */
export function heading(ch) {
  return [ch.is_im ? avatar(partner(ch), 'small') : ch.is_mpim ? icon('people') : mark(ch), h('span', { class: 'pane-name' }, title(ch))];
}
