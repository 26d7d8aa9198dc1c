// composer.js is where people write: Enter sends, Shift+Enter breaks the line,
// @ and # complete names, a leading / is a command.

import { h, icon, toast } from './dom.js';
import { call, emulate } from './net.js';
import { avatar } from './messages.js';
import { store, name, known } from './store.js';

/** encode is typed text as Slack wants it: escaped, with mentions by id. */
export function encode(text) {
  let out = text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const names = [...store.users.values()].flatMap((u) => [...new Set([name(u.id), u.name])].map((n) => [n, u.id])).sort((a, b) => b[0].length - a[0].length);
  for (const [n, id] of names) out = out.replace(new RegExp('(^|[\\s(,;])@' + escape(n) + '(?![\\w-])', 'gi'), (_, before) => before + '<@' + id + '>');
  for (const ch of store.channels.values()) {
    if (!ch.is_im && ch.name) out = out.replace(new RegExp('(^|[\\s(,;])#' + escape(ch.name) + '(?![\\w-])', 'g'), (_, before) => before + '<#' + ch.id + '>');
  }
  return out;
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

let serial = 0;

/**
 * composer makes a composer for a place: {channel, thread}. The place may change
 * with aim; a draft is kept for each.
 */
export function composer() {
  const listID = 'complete' + ++serial;
  const drafts = new Map();
  let place = null, busy = false, choice = 0, offers = [];
  const box = h('textarea', { rows: 1, 'aria-autocomplete': 'list', 'aria-controls': listID, 'aria-expanded': 'false', role: 'combobox', enterKeyHint: 'send' });
  const send = h('button', { type: 'button', class: 'send', 'aria-label': 'Send', disabled: true, on: { click: () => submit() } }, icon('send'));
  const at = h('button', { type: 'button', class: 'tool', 'aria-label': 'Mention someone', on: { click: () => { insert(box.value && !/\s$/.test(box.value) ? ' @' : '@'); } } }, icon('at'));
  const also = h('input', { type: 'checkbox' });
  const alsoLabel = h('label', { class: 'also', hidden: true }, also, 'Also send to channel');
  const list = h('div', { class: 'complete', id: listID, role: 'listbox', 'aria-label': 'Suggestions', hidden: true });
  const node = h('div', { class: 'composer' }, list, h('div', { class: 'composer-box' }, box, h('div', { class: 'composer-foot' }, at, alsoLabel, h('span', { class: 'hint' }, 'Shift + Enter for a new line'), send)));

  const key = () => place.channel + '/' + (place.thread || '') + '/' + store.me;
  const grow = () => {
    box.style.height = 'auto';
    box.style.height = Math.min(box.scrollHeight, 220) + 'px';
    send.disabled = busy || !box.value.trim();
  };

  function insert(text) {
    box.focus();
    box.setRangeText(text, box.selectionStart, box.selectionEnd, 'end');
    changed();
  }

  function changed() {
    drafts.set(key(), box.value);
    grow();
    suggest();
  }

  function suggest() {
    const before = box.value.slice(0, box.selectionStart);
    const word = /(?:^|[\s(])([@#])([\p{L}\p{N}_-]*)$/u.exec(before), command = /^\/(\S*)$/.exec(box.value);
    if (word?.[1] === '@') {
      const here = new Set(store.channels.get(place.channel)?.members), rank = (u) => (here.has(u.id) ? 0 : 2) + (u.is_bot ? 0 : 1);
      offers = known().filter((u) => [name(u.id), u.name].some((n) => n.toLowerCase().startsWith(word[2].toLowerCase()))).sort((a, b) => rank(a) - rank(b))
        .map((u) => ({ text: '@' + name(u.id) + ' ', label: name(u.id), note: !here.has(u.id) ? 'not in this channel' : u.is_bot ? 'app' : '', sign: avatar(u.id, 'tiny'), from: before.length - word[2].length - 1 }));
    } else if (word) {
      offers = [...store.channels.values()].filter((c) => !c.is_im && c.name.startsWith(word[2])).map((c) => ({ text: '#' + c.name + ' ', label: '#' + c.name, note: '', from: before.length - word[2].length - 1 }));
    } else if (command) {
      offers = store.apps.flatMap((a) => a.commands || []).filter((c) => c.command.startsWith('/' + command[1]))
        .map((c) => ({ text: c.command + ' ', label: c.command, note: c.description || '', from: 0 }));
    } else {
      offers = [];
    }
    offers = offers.slice(0, 7);
    choice = 0;
    drawOffers();
  }

  function drawOffers() {
    list.replaceChildren(...offers.map((o, i) => h('div', {
      class: 'offer', role: 'option', id: listID + '-' + i, 'aria-selected': String(i === choice),
      on: { pointerdown: (e) => { e.preventDefault(); take(o); } },
    }, o.sign, h('strong', {}, o.label), h('span', { class: 'muted' }, o.note))));
    list.hidden = !offers.length;
    box.setAttribute('aria-expanded', String(offers.length > 0));
    if (offers.length) box.setAttribute('aria-activedescendant', listID + '-' + choice);
    else box.removeAttribute('aria-activedescendant');
  }

  function take(o) {
    box.setRangeText(o.text, o.from, box.selectionStart, 'end');
    offers = [];
    drawOffers();
    drafts.set(key(), box.value);
    grow();
    box.focus();
  }

  async function submit() {
    const text = box.value.trim(), to = place;
    if (!text || busy) return;
    busy = true;
    grow();
    try {
      await post(text, to);
      drafts.delete(to.channel + '/' + (to.thread || '') + '/' + store.me);
      if (place === to || (place.channel === to.channel && place.thread === to.thread)) box.value = '';
      also.checked = false;
    } catch (err) {
      toast(err.message, true);
    }
    busy = false;
    grow();
    box.focus();
  }

  async function post(text, to) {
    const command = /^(\/\S+)\s*([\s\S]*)$/.exec(text);
    if (command) {
      if (to.thread) throw new Error('Commands do not work in threads.');
      await emulate('command', { user: store.me, channel: to.channel, command: command[1], text: encode(command[2]) });
      return;
    }
    await call(store.me, 'chat.postMessage', { channel: to.channel, text: encode(text), thread_ts: to.thread, reply_broadcast: to.thread && also.checked ? 'true' : undefined });
  }

  box.addEventListener('input', changed);
  box.addEventListener('blur', () => { offers = []; drawOffers(); });
  box.addEventListener('keydown', (e) => {
    if (e.isComposing) return;
    if (offers.length) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
      if (step) {
        e.preventDefault();
        choice = (choice + step + offers.length) % offers.length;
        drawOffers();
        return;
      }
      if (e.key === 'Escape') {
        e.stopPropagation();
        offers = [];
        drawOffers();
        return;
      }
      // A command that is typed in full goes out; a name is completed first.
      if (e.key === 'Tab' || (e.key === 'Enter' && offers[choice].text.trim() !== box.value.trim())) {
        e.preventDefault();
        take(offers[choice]);
        return;
      }
    }
    if (e.key === 'Enter' && !e.shiftKey) {
      e.preventDefault();
      submit();
    }
  });

  return {
    node,
    focus: () => box.focus({ preventScroll: true }),
    /** aim points the composer at a place, with the draft that was left there. */
    aim(to, label) {
      if (!place || place.channel !== to.channel || place.thread !== to.thread || place.me !== store.me) {
        place = { ...to, me: store.me };
        box.value = drafts.get(key()) || '';
        offers = [];
        drawOffers();
        grow();
      }
      box.placeholder = label;
      box.setAttribute('aria-label', label);
      alsoLabel.hidden = !to.thread;
    },
  };
}
