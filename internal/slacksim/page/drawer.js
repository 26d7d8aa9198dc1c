// drawer.js is the emulator's own panel: its clock, the faults that are armed,
// and the API calls that apps and people made.

import { h, icon, toast } from './dom.js';
import { emulate, look, disarm } from './net.js';
import { store, name } from './store.js';
import { clockFace, zoneName, untilNine } from './time.js';

const faultKinds = [
  ['429', 'Too many requests (429)'], ['500', 'Server error (500)'], ['delay', 'Answer late'], ['refuse', 'Cut before the call'], ['reset_after', 'Cut after the call'],
  ['drop_ack', 'Ignore acknowledgements'], ['duplicate', 'Deliver twice'], ['lose', 'Lose an event'], ['disconnect', 'Disconnect now'],
];
const shownCalls = 120;

/** drawer binds the panel to the button that opens it. */
export function drawer(button) {
  let node = null, timer = null, since = 0, calls = [];

  const close = () => {
    clearInterval(timer);
    node?.remove();
    node = null;
    button.setAttribute('aria-expanded', 'false');
    button.focus();
  };

  const attempt = async (run, said) => {
    try {
      await run();
      if (said) toast(said);
    } catch (err) {
      toast(err.message, true);
    }
    refresh();
  };
  const advance = (seconds) => attempt(() => emulate('clock', { advance: Math.round(seconds) + 's' }));

  const face = h('p', { class: 'clock-face' }), zone = h('span', { class: 'muted' });
  const armed = h('ul', { class: 'armed' }), log = h('ol', { class: 'log' }), links = h('p', { class: 'muted' });

  function build() {
    const kind = h('select', { 'aria-label': 'Kind of fault' }, faultKinds.map(([v, label]) => h('option', { value: v }, label)));
    const method = h('input', { type: 'text', placeholder: 'any method, or chat.*', 'aria-label': 'Method' });
    const times = h('input', { type: 'number', min: 1, max: 1000, value: 1, 'aria-label': 'Times' });
    const arm = (e) => {
      e.preventDefault();
      const body = { kind: kind.value, method: method.value.trim() || undefined, times: kind.value === 'disconnect' ? undefined : Number(times.value) || 1 };
      if (kind.value === 'delay') body.delay_ms = 3000;
      if (kind.value === '429') body.retry_after = 2;
      attempt(() => emulate('faults', body), kind.value === 'disconnect' ? 'Disconnected.' : 'Armed.');
    };
    return h('aside', { class: 'drawer', role: 'dialog', 'aria-label': 'Emulator', on: { keydown: (e) => e.key === 'Escape' && close() } },
      h('header', { class: 'pane-head' }, h('div', { class: 'pane-title' }, h('h2', {}, 'Emulator'), h('p', {}, 'What Slack has no button for')),
        h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close emulator', on: { click: close } }, icon('close'))),
      h('div', { class: 'drawer-body' },
        h('section', {}, h('h3', {}, 'Clock'), face, zone, h('div', { class: 'row' },
          h('button', { type: 'button', class: 'button', data: { clock: 'hour' }, on: { click: () => advance(3600) } }, '+1 hour'),
          h('button', { type: 'button', class: 'button', data: { clock: 'day' }, on: { click: () => advance(86400) } }, '+1 day'),
          h('button', { type: 'button', class: 'button', data: { clock: 'nine' }, on: { click: () => advance(untilNine()) } }, 'Next 9:00'))),
        h('section', {}, h('h3', {}, 'Apps'), links),
        h('section', {}, h('h3', {}, 'Faults'), h('form', { class: 'fault-form', on: { submit: arm } }, kind, method, times, h('button', { type: 'submit', class: 'button' }, 'Arm')), armed),
        h('section', {}, h('h3', {}, 'API calls'), log)));
  }

  async function refresh() {
    if (!node) return;
    try {
      const [faults, more, state] = await Promise.all([look('faults'), look('log?since=' + since), look('state?user=' + store.me)]);
      if (more.calls.length) {
        since = more.calls[more.calls.length - 1].n;
        calls = calls.concat(more.calls).slice(-shownCalls);
        log.replaceChildren(...[...calls].reverse().map(line));
      }
      if (!calls.length) log.replaceChildren(h('li', { class: 'muted' }, 'No call yet.'));
      armed.replaceChildren(...(faults.faults || []).map(fault));
      if (!armed.firstChild) armed.append(h('li', { class: 'muted' }, 'None armed.'));
      links.textContent = state.apps.map((a) => a.name + ': ' + (a.connections === 1 ? '1 connection' : a.connections + ' connections') + (a.waiting ? ', ' + a.waiting + ' events waiting' : '')).join(' · ') || 'No app is installed.';
    } catch (err) {
      links.textContent = 'Cannot reach the emulator: ' + err.message;
    }
  }

  const fault = (f) => h('li', {}, h('code', {}, f.kind), ' ', f.method || 'any method', h('span', { class: 'muted' }, ' fired ' + f.fired + (f.times ? ' of ' + f.times : '')),
    h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Disarm ' + f.kind, on: { click: () => attempt(() => disarm(f.id)) } }, icon('close')));

  const line = (c) => h('li', { class: c.ok ? '' : 'failed' }, h('details', {},
    h('summary', {}, h('code', {}, c.method), h('span', { class: 'muted' }, (c.by ? name(c.by) : '') + (c.ok ? '' : ' · ' + c.error))),
    h('pre', {}, Object.entries(c.args || {}).map(([k, v]) => k + ': ' + v).join('\n') || 'no arguments')));

  const tick = () => {
    if (!node) return;
    face.textContent = clockFace();
    zone.textContent = zoneName();
  };

  button.addEventListener('click', () => {
    if (node) return close();
    node = build();
    document.body.append(node);
    button.setAttribute('aria-expanded', 'true');
    node.querySelector('button').focus();
    tick();
    refresh();
    let beats = 0;
    timer = setInterval(() => {
      tick();
      if (++beats % 2 === 0) refresh();
    }, 1000);
  });
}
