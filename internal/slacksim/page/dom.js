// dom.js builds elements. Text always becomes a text node: nothing in this page
// parses markup, so that what people and apps write can never become any.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * h makes an element. props: `class`, `on` (event handlers), `data` (dataset),
 * `style` (CSSOM properties), properties that elements have, else attributes.
 */
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'class') el.className = value;
    else if (key === 'on') for (const [type, fn] of Object.entries(value)) el.addEventListener(type, fn);
    else if (key === 'data') Object.assign(el.dataset, value);
    else if (key === 'style') for (const [name, v] of Object.entries(value)) el.style.setProperty(name, v);
    else if (key in el && !key.startsWith('aria') && key !== 'list' && key !== 'form') el[key] = value;
    else el.setAttribute(key, value === true ? '' : value);
  }
  add(el, children);
  return el;
}

/** add appends nodes, strings and lists of them; empty ones are left out. */
export function add(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === '') continue;
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return el;
}

export const $ = (selector, root = document) => root.querySelector(selector);

const paths = {
  hash: 'M9 4 7 20M17 4l-2 16M4 9h16M3.5 15h16',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  shared: 'M9.5 14.5l5-5M8 11l-2.2 2.2a3.5 3.5 0 0 0 5 5L13 16M11 8l2.2-2.2a3.5 3.5 0 0 1 5 5L16 13',
  back: 'M14.5 5.5 8 12l6.5 6.5',
  close: 'M6 6l12 12M18 6 6 18',
  send: 'M4.5 12 3.5 4.5 21 12 3.5 19.5zM4.5 12H12',
  smile: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8.5 14a4 4 0 0 0 7 0M9 9.5v.6M15 9.5v.6',
  reply: 'M20 12a7.5 7.5 0 0 1-11 6.6L4 20l1.4-4.6A7.5 7.5 0 1 1 20 12z',
  more: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
  chevron: 'M7 10l5 5 5-5',
  sliders: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.800v4.400M9 14.800v4.4',
  at: 'M15.5 12a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0zm0 0v1.200a2.4 2.4 0 0 0 4.8 0V12a8.3 8.3 0 1 0-3.4 6.7',
  people: 'M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3.5 19a5.5 5.5 0 0 1 11 0M16 5.400a3 3 0 0 1 0 5.400M17.5 14.300a5.5 5.5 0 0 1 3 4.7',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 14.500a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z',
  check: 'M5 12.500l4.5 4.500L19 7.5',
  robot: 'M6 9.5h12v8.500a1.5 1.5 0 0 1-1.5 1.500h-9A1.5 1.5 0 0 1 6 18zM12 9.500V6M12 5.500v.01M9.5 13.500v1M14.5 13.500v1M3.5 13v3M20.5 13v3',
  file: 'M7 3.500h7l4 4V20.500H7zM14 3.500v4h4',
  pen: 'M5 19l1-4L16.5 4.500l3 3L9 18z',
  bin: 'M5 7h14M9.5 7V4.500h5V7M7 7l1 12.500h8L17 7',
  home: 'M4 11.5 12 5l8 6.500V20h-5.500v-5h-5v5H4z',
};

/** icon is a line drawing, hidden from screen readers: its button has a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon icon-' + name);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', paths[name]);
  svg.append(path);
  return svg;
}

/**
 * reconcile makes container hold the given items ({key, sig, make}) in order.
 * Nodes whose key and signature stay are kept, with focus and scroll.
 */
export function reconcile(container, items) {
  const had = new Map();
  for (const node of container.children) had.set(node.dataset.key, node);
  let at = container.firstElementChild;
  for (const item of items) {
    let node = had.get(item.key);
    had.delete(item.key);
    if (!node || node.dataset.sig !== item.sig) {
      const fresh = item.make();
      fresh.dataset.key = item.key;
      fresh.dataset.sig = item.sig;
      if (node) {
        if (at === node) at = fresh;
        node.replaceWith(fresh);
      }
      node = fresh;
    }
    if (node === at) at = at.nextElementSibling;
    else container.insertBefore(node, at);
  }
  for (const node of had.values()) node.remove();
}

let toasts;

/** toast tells of something for a few seconds, to screen readers too. */
export function toast(text, bad) {
  toasts ||= document.body.appendChild(h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' }));
  const node = h('div', { class: bad ? 'toast bad' : 'toast' }, text);
  toasts.append(node);
  setTimeout(() => node.remove(), 6000);
}

/** digest is a short signature of a value, for reconcile. */
export function digest(value) {
  const text = JSON.stringify(value);
  let n = 5381;
  for (let i = 0; i < text.length; i++) n = ((n * 33) ^ text.charCodeAt(i)) >>> 0;
  return n.toString(36) + text.length.toString(36);
}
