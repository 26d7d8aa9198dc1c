// mrkdwn.js turns Slack's mrkdwn into nodes. The text comes from people and apps
// and is hostile until proven otherwise: it only ever becomes text nodes, and
// only http, https and mailto addresses become links.

import { h } from './dom.js';
import { emoji } from './emoji.js';
import { store, name } from './store.js';

/** decode turns Slack's three entities back into characters, once. */
export const decode = (text) => text.replace(/&(lt|gt|amp);/g, (_, e) => ({ lt: '<', gt: '>', amp: '&' })[e]);

/** safeURL is an address that may become a link, or null. */
export function safeURL(text) {
  try {
    const url = new URL(text);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** link is a link that may be followed, or its label as text when it may not. */
export function link(address, label) {
  const href = safeURL(address);
  if (!href) return h('span', {}, label || address);
  const here = href.startsWith(location.origin + '/archives/');
  return h('a', { href, rel: 'noopener noreferrer nofollow', target: here ? null : '_blank', data: here ? { permalink: href } : {} }, label || address);
}

export const mention = (id) => h('span', { class: id === store.me ? 'mention me' : 'mention', data: { mention: id } }, '@' + name(id));

export function channelLink(id, label) {
  const ch = store.channels.get(id);
  if (!ch) return h('span', { class: 'mention' }, '#' + (label || 'a channel you cannot see'));
  return h('a', { class: 'mention', href: '#channel=' + id }, '#' + ch.name);
}

export const broadcast = (range) => h('span', { class: 'mention me' }, '@' + range);

export function emojiNode(code) {
  const char = emoji(code);
  return char ? h('span', { class: 'emoji', role: 'img', 'aria-label': code.replaceAll('_', ' '), title: ':' + code + ':' }, char) : ':' + code + ':';
}

/** token is what Slack keeps between angle brackets. */
function token(body) {
  const [target, label] = split(body);
  switch (target[0]) {
    case '@': return mention(target.slice(1));
    case '#': return channelLink(target.slice(1), label && decode(label));
    case '!': return special(target.slice(1), label);
    default: return link(decode(target), label && decode(label));
  }
}

const split = (body) => {
  const bar = body.indexOf('|');
  return bar < 0 ? [body, ''] : [body.slice(0, bar), body.slice(bar + 1)];
};

function special(target, label) {
  if (['here', 'channel', 'everyone'].includes(target)) return broadcast(target);
  if (target.startsWith('date^')) return decode(label || target.split('^')[1]);
  return decode(label || '@' + target);
}

const styles = { '*': 'strong', _: 'em', '~': 's' };
const boundary = (char) => !char || /[\s\p{P}\p{S}]/u.test(char);

/** inline renders text without line structure: styles, code, links, emoji. */
export function inline(text) {
  const out = [], styled = stylist(text);
  let plain = '';
  const flush = () => {
    if (plain) out.push(decode(plain));
    plain = '';
  };
  for (let i = 0; i < text.length;) {
    const rest = text.slice(i);
    let match;
    if (rest[0] === '<' && (match = /^<([^<>\n]+)>/.exec(rest))) {
      flush();
      out.push(token(match[1]));
    } else if (rest[0] === '`' && (match = /^`([^`\n]+)`/.exec(rest))) {
      flush();
      out.push(h('code', {}, decode(match[1])));
    } else if (rest[0] === ':' && (match = /^:([a-z0-9_+'-]+(?:::skin-tone-\d)?):/.exec(rest)) && emoji(match[1])) {
      flush();
      out.push(emojiNode(match[1]));
    } else if (styles[rest[0]] && boundary(text[i - 1]) && (match = styled(i))) {
      flush();
      out.push(h(styles[rest[0]], {}, inline(match[1])));
    } else {
      plain += rest[0];
      i++;
      continue;
    }
    i += match[0].length;
  }
  flush();
  return out;
}

/**
 * stylist finds the runs of *bold*, _italic_ and ~strike~ in text. The marks that
 * may end a run are listed once, and asked for from left to right: the cost stays
 * linear however many marks a hostile text holds.
 */
function stylist(text) {
  const ends = { '*': [], _: [], '~': [] };
  let at = 0;
  // A mark within a link or code ends nothing.
  for (const [part] of text.matchAll(/<[^<>\n]+>|`[^`\n]+`|[^]/gu)) {
    if (styles[part] && at > 0 && !/\s/.test(text[at - 1]) && boundary(text[at + 1])) ends[part].push(at);
    at += part.length;
  }
  const next = { '*': 0, _: 0, '~': 0 };
  let line = -1; // the end of the line that was looked at last
  return (i) => {
    const mark = text[i], list = ends[mark];
    if (!text[i + 1] || /\s/.test(text[i + 1]) || text[i + 1] === mark) return null;
    while (next[mark] < list.length && list[next[mark]] < i + 2) next[mark]++;
    if (line < i) line = text.indexOf('\n', i) < 0 ? text.length : text.indexOf('\n', i);
    const end = list[next[mark]];
    return end < line ? [text.slice(i, end + 1), text.slice(i + 1, end)] : null;
  };
}

const shapes = [
  ['quote', /^(?:&gt;|>) ?(.*)$/],
  ['ul', /^\s{0,6}(?:•|◦|-|\*) +(.*)$/],
  ['ol', /^\s{0,6}\d{1,3}[.)] +(.*)$/],
];

/** mrkdwn renders a whole text: code blocks, quotes, lists and lines. */
export function mrkdwn(text) {
  const root = h('div', { class: 'mrkdwn' });
  const parts = String(text || '').split(/```\n?([\s\S]*?)\n?```/);
  parts.forEach((part, i) => {
    if (i % 2) root.append(h('pre', {}, h('code', {}, plainTokens(part))));
    else lines(root, i > 0 ? part.replace(/^\n/, '') : part, i < parts.length - 1);
  });
  return root;
}

/** plainTokens shows links in code as their address, as Slack does. */
const plainTokens = (text) => decode(text.replace(/<((?:https?|mailto):[^<>|]+)(?:\|([^<>]*))?>/g, (_, url, label) => label || url));

/** lines renders runs of like lines. before says that a code block follows. */
export function lines(root, text, before, render = inline) {
  if (before) text = text.replace(/\n$/, '');
  if (!text) return;
  let run = [], kind = '';
  const flush = () => {
    if (!run.length) return;
    if (kind === 'quote') root.append(h('blockquote', {}, run.map((l, i) => [i > 0 && h('br'), render(l)])));
    else if (kind) root.append(h(kind, { start: kind === 'ol' ? Number(/\d+/.exec(run.first)?.[0] || 1) : null }, run.map((l) => h('li', {}, render(l)))));
    else root.append(h('p', {}, run.map((l, i) => [i > 0 && h('br'), render(l)])));
    run = [];
  };
  for (const line of text.split('\n')) {
    const shape = shapes.find(([, re]) => re.test(line));
    const now = shape ? shape[0] : '';
    if (now !== kind) flush();
    kind = now;
    if (!run.length) run.first = line;
    run.push(shape ? shape[1].exec(line)[1] : line);
  }
  flush();
}
