// store.js holds what the person who is looking may see: the state as fetched,
// kept up to date by the frames of the stream. It draws nothing.

export const store = {
  me: '',
  team: {},
  apps: [],
  users: new Map(),
  channels: new Map(),
  messages: new Map(), // channel → Map(ts → message)
  ephemeral: new Map(), // channel → Map(ts → message)
  statuses: new Map(), // channel → Map(thread ts → {text, until})
  prompts: new Map(), // channel → {title, prompts}
  views: new Map(),
  seq: 0,
  skew: 0, // ms by which the workspace's clock is ahead of the browser's
  loaded: false,
};

/** now is the workspace's clock. */
export const now = () => new Date(Date.now() + store.skew);

const setClock = (text) => { store.skew = new Date(text).getTime() - Date.now(); };

const inner = (map, key) => {
  if (!map.has(key)) map.set(key, new Map());
  return map.get(key);
};

/** fill replaces everything by a state as fetched for user me. */
export function fill(me, state) {
  store.me = me;
  store.team = state.team;
  store.apps = state.apps;
  store.users = new Map(state.users.map((u) => [u.id, u]));
  store.channels = new Map(state.channels.map((c) => [c.id, c]));
  store.messages = new Map();
  store.ephemeral = new Map();
  store.statuses = new Map();
  for (const [id, list] of Object.entries(state.messages)) {
    const into = inner(store.messages, id);
    for (const m of list) into.set(m.ts, m);
  }
  for (const list of Object.values(state.ephemeral)) {
    for (const e of list) inner(store.ephemeral, e.channel).set(e.message.ts, e.message);
  }
  for (const [id, threads] of Object.entries(state.statuses)) {
    for (const [ts, st] of Object.entries(threads)) setStatus(id, ts, st);
  }
  store.views = new Map(state.views.map((v) => [v.id, v]));
  store.seq = state.seq;
  setClock(state.now);
  store.loaded = true;
}

const statusLife = 120_000; // ms after which Slack clears a status that nobody renewed

function setStatus(channel, ts, { app_id: id, status }) {
  const app = store.apps.find((a) => a.id === id) || store.apps[0];
  inner(store.statuses, channel).set(ts, { text: (app ? app.name : 'App') + ' ' + status, until: Date.now() + statusLife });
}

/** statusOf is what an app says that it does in a thread, or ''. */
export function statusOf(channel, ts) {
  const st = store.statuses.get(channel)?.get(ts);
  return st && Date.now() < st.until ? st.text : '';
}

/** apply takes one frame of the stream. */
export function apply(f) {
  switch (f.type) {
    case 'message':
    case 'changed':
    case 'reaction':
      if (f.message) inner(store.messages, f.channel).set(f.message.ts, f.message);
      break;
    case 'deleted':
      store.messages.get(f.channel)?.delete(f.message?.ts || f.ts);
      break;
    case 'ephemeral':
      if (f.message && (!f.user || f.user === store.me)) inner(store.ephemeral, f.channel).set(f.message.ts, f.message);
      break;
    case 'ephemeral_deleted':
      store.ephemeral.get(f.channel)?.delete(f.message?.ts || f.ts);
      break;
    case 'status':
      if (f.status) setStatus(f.channel, f.thread_ts, f);
      else store.statuses.get(f.channel)?.delete(f.thread_ts);
      break;
    case 'prompts':
      store.prompts.set(f.channel, { title: f.title, prompts: f.prompts, thread: f.thread_ts });
      break;
    case 'channel':
      applyChannel(f);
      break;
    case 'view':
      if (f.view) store.views.set(f.view.id, f.view);
      else store.views.delete(f.view_id);
      break;
    case 'user':
      if (f.user_info) store.users.set(f.user_info.id, f.user_info);
      break;
    case 'clock':
      if (f.now) setClock(f.now);
      break;
  }
}

function applyChannel(f) {
  if (f.gone) {
    for (const map of [store.channels, store.messages, store.ephemeral, store.statuses]) map.delete(f.channel);
  } else if (f.channel_info) {
    store.channels.set(f.channel_info.id, f.channel_info);
  }
}

/** inChannel are the messages of a channel that are not only in a thread. */
export function inChannel(id) {
  const all = [...(store.messages.get(id)?.values() || [])];
  const own = [...(store.ephemeral.get(id)?.values() || [])].map((m) => ({ ...m, hidden_from_others: true }));
  return all.concat(own)
    .filter((m) => !m.thread_ts || m.thread_ts === m.ts || m.subtype === 'thread_broadcast')
    .sort(byTime);
}

/** inThread are the root and the replies of a thread. */
export function inThread(id, root) {
  const all = [...(store.messages.get(id)?.values() || [])];
  const own = [...(store.ephemeral.get(id)?.values() || [])].map((m) => ({ ...m, hidden_from_others: true }));
  return all.concat(own).filter((m) => m.ts === root || m.thread_ts === root).sort(byTime);
}

const byTime = (a, b) => (a.ts < b.ts ? -1 : a.ts > b.ts ? 1 : 0);

/** name is what a user is called on the page. */
export function name(id) {
  const u = store.users.get(id);
  if (!u) return id;
  return u.is_bot ? u.profile.display_name || u.name : u.real_name || u.name;
}

/** kind says what a person may do here, in one word. */
export function kind(u) {
  if (u.is_bot) return 'App';
  if (u.team_id !== store.team.id) return 'Outsider';
  if (u.is_restricted || u.is_ultra_restricted) return 'Guest';
  return u.is_admin || u.is_owner ? 'Admin' : 'Member';
}

/** people are the humans of the workspace who can act. */
export const people = () => [...store.users.values()].filter((u) => !u.is_bot && !u.deleted);

/** partner is the other one in a direct message. */
export const partner = (ch) => ch.members.find((id) => id !== store.me) || store.me;

/** title is what a channel is called on the page. */
export function title(ch) {
  if (ch.is_im) return name(partner(ch));
  if (ch.is_mpim) return ch.members.filter((id) => id !== store.me).map(name).join(', ');
  return ch.name;
}

export const directWith = (user) => [...store.channels.values()].find((c) => c.is_im && c.members.includes(user) && c.members.includes(store.me));

export const isMember = (ch) => ch.members.includes(store.me);

/** known are the users whom the person may meet: guests and outsiders only those
 * with whom they share a channel. */
export function known() {
  const me = store.users.get(store.me);
  const all = [...store.users.values()].filter((u) => !u.deleted && u.id !== store.me);
  if (me && ['Admin', 'Member'].includes(kind(me))) return all.filter((u) => u.team_id === store.team.id || shares(u.id));
  return all.filter((u) => shares(u.id));
}

const shares = (id) => [...store.channels.values()].some((c) => isMember(c) && c.members.includes(id));

const readKey = (channel) => 'read:' + store.me + ':' + channel;

/** newest is the timestamp of the newest message that another wrote. */
function newest(channel) {
  let ts = '';
  for (const m of store.messages.get(channel)?.values() || []) if (m.user !== store.me && m.ts > ts) ts = m.ts;
  return ts;
}

export const isUnread = (channel) => newest(channel) > (localStorage.getItem(readKey(channel)) || '');

/** unreadForMe counts the unread messages that are meant for this person: all in
 * a direct message, elsewhere those that mention them. */
export function unreadForMe(channel) {
  const read = localStorage.getItem(readKey(channel)) || '', ch = store.channels.get(channel);
  return [...(store.messages.get(channel)?.values() || [])].filter((m) => m.user !== store.me && m.ts > read &&
    (ch.is_im || ch.is_mpim || (m.text || '').includes('<@' + store.me + '>'))).length;
}

export function markRead(channel) {
  const ts = newest(channel);
  if (ts && isUnread(channel)) localStorage.setItem(readKey(channel), ts);
}

/** topView is the open modal of a stack, if any. */
export function topView() {
  const modals = [...store.views.values()].filter((v) => v.type === 'modal');
  const below = new Set(modals.map((v) => v.previous_view_id).filter(Boolean));
  return modals.filter((v) => !below.has(v.id)).pop();
}

export const homeView = (app) => [...store.views.values()].find((v) => v.type === 'home' && v.app_id === app);
