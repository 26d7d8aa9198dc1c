// blocks.js renders Block Kit in messages, modals and Home tabs. A block that it
// does not know becomes a quiet labelled box, never nothing.

import { h, add, icon } from './dom.js';
import { broadcast, channelLink, emojiNode, link, mention, mrkdwn, safeURL, inline, decode } from './mrkdwn.js';
import { markdown, table } from './markdown.js';
import { control } from './controls.js';
import { emoji } from './emoji.js';

/** text renders a text object. */
export function text(o) {
  if (!o) return null;
  return o.type === 'mrkdwn' ? mrkdwn(o.text) : h('span', { class: 'plain' }, plain(o.text));
}

/** plain renders plain_text: emoji, and nothing else. */
export function plain(value) {
  return String(value || '').split(/(:[a-z0-9_+'-]+:)/).map((part, i) => (i % 2 && emoji(part.slice(1, -1)) ? emojiNode(part.slice(1, -1)) : decode(part)));
}

const quiet = (label) => h('div', { class: 'unknown-block' }, 'Cannot show this here: ' + label);

/** picture shows an image only from the web or the page itself. */
function picture(block, kind) {
  const href = safeURL(block.image_url || block.slack_file?.url || '');
  if (!href || href.startsWith('mailto:')) return quiet('image');
  const img = h('img', { class: kind, src: href, alt: block.alt_text || '', loading: 'lazy', referrerPolicy: 'no-referrer' });
  img.addEventListener('error', () => img.replaceWith(h('span', { class: 'image-gone' }, block.alt_text || 'Image')));
  return img;
}

/**
 * blocks renders a list. env: {use(element, block, chosen), inputs (Map that
 * fills with block id → action id → reader), errors, where}.
 */
export function blocks(list, env) {
  return h('div', { class: 'blocks' }, (list || []).map((b) => {
    const node = draw(b, env);
    node.classList.add('block', 'block-' + String(b?.type).replace(/[^a-z_]/g, ''));
    return node;
  }));
}

/** draw makes one block. Slack checks some blocks only from outside, so one may
 * hold anything; what cannot be drawn takes nothing else with it. */
function draw(b, env) {
  try {
    return Object.hasOwn(makers, b.type) ? makers[b.type](b, env) : quiet(String(b.type));
  } catch {
    return quiet(String(b?.type));
  }
}

const makers = {
  header: (b) => h('div', { role: 'heading', 'aria-level': '3' }, plain(b.text?.text)),
  divider: () => h('hr'),
  markdown: (b) => h('div', {}, markdown(b.text)),
  section: (b, env) => h('div', {},
    h('div', { class: 'section-body' },
      b.text && text(b.text),
      b.fields && h('div', { class: 'fields' }, b.fields.map((f) => h('div', { class: 'field' }, text(f))))),
    b.accessory && h('div', { class: 'accessory' }, element(b.accessory, b, env))),
  context: (b) => h('div', {}, (b.elements || []).map((e) => (e.type === 'image' ? picture(e, 'context-image') : text(e)))),
  actions: (b, env) => h('div', {}, (b.elements || []).map((e) => element(e, b, env))),
  context_actions: (b, env) => h('div', {}, (b.elements || []).map((e) => element(e, b, env))),
  image: (b) => h('figure', {}, b.title && h('figcaption', {}, plain(b.title.text)), picture(b, 'block-picture')),
  input: (b, env) => input(b, env),
  rich_text: (b) => h('div', { class: 'mrkdwn' }, (b.elements || []).map(rich)),
  plan: (b) => h('div', {}, h('div', { class: 'plan-title' }, plain(b.title)), h('ul', { class: 'tasks' }, (b.tasks || []).map((t) => h('li', {}, task(t))))),
  task_card: (b) => h('div', {}, task(b)),
  table: (b) => {
    const [head = [], ...rows] = (b.rows || []).map((r) => r.map((c) => (c.type === 'rich_text' ? (c.elements || []).map(rich) : c.text)));
    return h('div', {}, table(head, rows));
  },
};

function element(e, block, env) {
  if (e.type === 'image') return picture(e, 'accessory-image');
  const c = control(e, { ...env, block });
  if (!c) return quiet(String(e.type));
  remember(env, block, e, c);
  return c.node;
}

function remember(env, block, e, c) {
  if (!env.inputs || !c.read || !block.block_id) return;
  if (!env.inputs.has(block.block_id)) env.inputs.set(block.block_id, new Map());
  env.inputs.get(block.block_id).set(e.action_id, c.read);
}

let serial = 0;

function input(b, env) {
  const id = 'in' + ++serial, error = env.errors?.[b.block_id];
  const c = control(b.element || {}, { ...env, block: b, quietly: !b.dispatch_action, labelledby: id, invalid: error ? id + 'e' : '' });
  if (!c) return h('div', {}, quiet(String(b.element?.type)));
  remember(env, b, b.element, c);
  return h('div', { class: error ? 'invalid' : '' },
    h('div', { class: 'input-label', id }, plain(b.label?.text), b.optional && h('span', { class: 'optional' }, ' (optional)')),
    c.node,
    error && h('div', { class: 'input-error', id: id + 'e', role: 'alert' }, error),
    b.hint && h('div', { class: 'input-hint' }, plain(b.hint.text)));
}

function rich(e) {
  switch (e.type) {
    case 'rich_text_section': return h('p', {}, (e.elements || []).map(leaf));
    case 'rich_text_preformatted': return h('pre', {}, h('code', {}, (e.elements || []).map((x) => x.text || x.url || '')));
    case 'rich_text_quote': return h('blockquote', {}, (e.elements || []).map(leaf));
    case 'rich_text_list': return h(e.style === 'ordered' ? 'ol' : 'ul', { class: 'indent-' + Math.min(4, e.indent | 0), start: e.style === 'ordered' && e.offset ? e.offset + 1 : null },
      (e.elements || []).map((item) => h('li', {}, (item.elements || []).map(leaf))));
    default: return quiet(String(e.type));
  }
}

const states = { pending: 'To do', in_progress: 'In progress', complete: 'Done', error: 'Failed' };
const signs = { complete: 'check', error: 'close' };

/** task is one step of an app's work, with its state. */
function task(t) {
  const state = Object.hasOwn(states, t.status) ? t.status : 'pending';
  return h('div', { class: 'task task-' + state },
    h('span', { class: 'task-sign', role: 'img', 'aria-label': states[state], title: states[state] }, signs[state] && icon(signs[state])),
    h('div', { class: 'task-main' }, h('span', { class: 'task-title' }, plain(t.title)),
      [t.details, t.output].filter(Boolean).map((o) => h('div', { class: 'task-note mrkdwn' }, typeof o === 'string' ? plain(o) : (o.elements || []).map(rich))),
      t.sources?.length > 0 && h('div', { class: 'task-note mrkdwn' }, t.sources.map((s, i) => [i > 0 && ' · ', link(String(s.url), s.text)]))));
}

const wraps = [['code', 'code'], ['bold', 'strong'], ['italic', 'em'], ['strike', 's'], ['underline', 'u']];

function leaf(e) {
  let node;
  switch (e.type) {
    case 'text': node = h('span', { class: 'plain' }, e.text); break;
    case 'link': node = link(e.url, e.text); break;
    case 'user': node = mention(e.user_id); break;
    case 'channel': node = channelLink(e.channel_id); break;
    case 'broadcast': node = broadcast(e.range); break;
    case 'emoji': return emojiNode(e.name);
    case 'date': return e.fallback || new Date(e.timestamp * 1000).toLocaleString();
    case 'color': return e.value;
    default: return quiet(String(e.type));
  }
  for (const [style, tag] of wraps) if (e.style?.[style]) node = h(tag, {}, node);
  return node;
}

/** attachments renders the older kind of attachment, and blocks within one. */
export function attachments(list, env) {
  return (list || []).map((a) => {
    const box = h('div', { class: 'attachment' });
    if (/^#?[0-9a-f]{6}$/i.test(a.color || '')) box.style.setProperty('border-left-color', '#' + a.color.replace('#', ''));
    return add(box, [a.pretext && mrkdwn(a.pretext), a.title && h('strong', {}, a.title_link ? link(a.title_link, a.title) : inline(a.title)),
      a.text && mrkdwn(a.text), a.blocks && blocks(a.blocks, env), !a.text && !a.title && !a.blocks && h('span', { class: 'muted' }, a.fallback)]);
  });
}
