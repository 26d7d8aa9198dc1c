// menu.js is a menu beside the button that opens it, for mouse, touch and keys.

import { h } from './dom.js';

let open = null;

export function closeMenu() {
  if (!open) return;
  const { node, anchor, outside } = open;
  open = null;
  document.removeEventListener('pointerdown', outside, true);
  node.remove();
  anchor.setAttribute('aria-expanded', 'false');
  if (anchor.isConnected) anchor.focus({ preventScroll: true });
}

/** popover shows content beside anchor until Escape or a click elsewhere. */
export function popover(anchor, node) {
  const again = open?.anchor === anchor;
  closeMenu();
  if (again) return;
  node.classList.add('popover');
  document.body.append(node);
  place(anchor, node);
  const outside = (e) => { if (!node.contains(e.target) && !anchor.contains(e.target)) closeMenu(); };
  document.addEventListener('pointerdown', outside, true);
  node.addEventListener('keydown', (e) => keys(e, node));
  anchor.setAttribute('aria-expanded', 'true');
  open = { node, anchor, outside };
  (node.querySelector('[aria-checked="true"]') || node.querySelector('button, input'))?.focus({ preventScroll: true });
}

function place(anchor, node) {
  const a = anchor.getBoundingClientRect(), n = node.getBoundingClientRect(), gap = 6;
  const left = Math.max(gap, Math.min(a.left, innerWidth - n.width - gap));
  const below = a.bottom + gap + n.height <= innerHeight;
  const top = below ? a.bottom + gap : Math.max(gap, a.top - gap - n.height);
  node.style.setProperty('left', left + 'px');
  node.style.setProperty('top', top + 'px');
}

function keys(e, node) {
  if (e.key === 'Escape') {
    e.stopPropagation();
    closeMenu();
    return;
  }
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
  if (!step || e.target.matches('input')) return;
  e.preventDefault();
  const all = [...node.querySelectorAll('button')];
  all[(all.indexOf(document.activeElement) + step + all.length) % all.length]?.focus();
}

/** menu shows items {label, run, checked?, danger?, data?, icon?} under anchor. */
export function menu(anchor, items, label) {
  const radio = items.some((i) => i.checked !== undefined);
  popover(anchor, h('div', { class: 'menu', role: 'menu', 'aria-label': label }, items.map((i) => (i.line ? h('hr') : h('button', {
    type: 'button', role: radio ? 'menuitemradio' : 'menuitem', 'aria-checked': radio ? String(Boolean(i.checked)) : null,
    class: i.danger ? 'menu-item danger' : 'menu-item', data: i.data,
    on: { click: () => { closeMenu(); i.run(); } },
  }, i.icon, i.label)))));
}
