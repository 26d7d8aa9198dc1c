// markdown.js renders the Markdown of `markdown` blocks: headings, lists, quotes,
// rules, fenced code, tables and inline styles. As in mrkdwn.js, text only ever
// becomes text nodes.

import { h } from './dom.js';
import { emoji } from './emoji.js';
import { decode, emojiNode, inline as slackInline, link, lines } from './mrkdwn.js';

const rules = [
  [/^`([^`\n]+)`/, (m) => h('code', {}, decode(m[1]))],
  [/^!?\[([^\]\n]*)\]\(([^()\s]+)\)/, (m) => link(decode(m[2]), decode(m[1]))],
  [/^\*\*([^\s*](?:[^\n]*?[^\s*])?)\*\*/, (m) => h('strong', {}, span(m[1]))],
  [/^__([^\s_](?:[^\n]*?[^\s_])?)__/, (m) => h('strong', {}, span(m[1]))],
  [/^~~([^\n]+?)~~/, (m) => h('s', {}, span(m[1]))],
  [/^\*([^\s*](?:[^\n*]*?[^\s*])?)\*/, (m) => h('em', {}, span(m[1]))],
  [/^_([^\s_](?:[^\n_]*?[^\s_])?)_(?!\w)/, (m) => h('em', {}, span(m[1]))],
  [/^<([^<>\n]+)>/, (m) => slackInline(m[0])],
  [/^:([a-z0-9_+-]+):/, (m) => (emoji(m[1]) ? emojiNode(m[1]) : m[0])],
  [/^https?:\/\/[^\s<>)"]+[^\s<>)".,;:!?]/, (m) => link(decode(m[0]))],
  [/^\\([\\`*_{}[\]()#+.!~>|-])/, (m) => m[1]],
];

/** span renders one line of Markdown. */
function span(text) {
  const out = [];
  let plain = '';
  for (let i = 0; i < text.length;) {
    const rest = text.slice(i);
    const wordStart = i === 0 || !/\w/.test(text[i - 1]);
    let hit;
    for (const [re, make] of rules) {
      const m = re.exec(rest);
      if (m && (wordStart || !/^[_h]/.test(rest))) {
        hit = [m, make];
        break;
      }
    }
    if (!hit) {
      plain += rest[0];
      i++;
      continue;
    }
    if (plain) out.push(decode(plain));
    plain = '';
    out.push(hit[1](hit[0]));
    i += hit[0][0].length;
  }
  if (plain) out.push(decode(plain));
  return out;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, '').split('|').map((c) => c.trim());

/** markdown renders a text. */
export function markdown(text) {
  const root = h('div', { class: 'mrkdwn markdown' });
  let run = [];
  const flush = () => {
    for (const part of run.join('\n').split(/\n{2,}/)) lines(root, part.replace(/^\n|\n$/g, ''), false, span);
    run = [];
  };
  const all = String(text || '').split('\n');
  for (let i = 0; i < all.length; i++) {
    const line = all[i];
    let m;
    if ((m = /^\s*(```|~~~)/.exec(line))) {
      flush();
      const code = [];
      for (i++; i < all.length && !all[i].trim().startsWith(m[1]); i++) code.push(all[i]);
      root.append(h('pre', {}, h('code', {}, decode(code.join('\n')))));
    } else if ((m = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line))) {
      flush();
      root.append(h('p', { class: 'md-h md-h' + Math.min(3, m[1].length), role: 'heading', 'aria-level': String(m[1].length + 2) }, span(m[2])));
    } else if (/^\s*([-*_])(?:\s*\1){2,}\s*$/.test(line)) {
      flush();
      root.append(h('hr'));
    } else if (line.includes('|') && /^[\s|:-]+$/.test(all[i + 1] || '') && (all[i + 1] || '').includes('-')) {
      flush();
      const head = cells(line), rows = [];
      for (i += 2; i < all.length && all[i].includes('|'); i++) rows.push(cells(all[i]));
      i--;
      root.append(table(head.map(span), rows.map((r) => r.map(span))));
    } else {
      run.push(line);
    }
  }
  flush();
  return root;
}

/** table is a table that scrolls within itself when it is too wide. */
export function table(head, rows) {
  return h('div', { class: 'table', tabIndex: 0, role: 'region', 'aria-label': 'Table' }, h('table', {},
    h('thead', {}, h('tr', {}, head.map((c) => h('th', { scope: 'col' }, c)))),
    h('tbody', {}, rows.map((r) => h('tr', {}, r.map((c) => h('td', {}, c)))))));
}
