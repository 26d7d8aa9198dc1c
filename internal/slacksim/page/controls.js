// controls.js makes the interactive elements of Block Kit. Each control has a
// node, and a read function that gives its part of a view's state.

import { h, icon } from './dom.js';
import { plainText } from './label.js';
import { confirm } from './dialog.js';
import { menu } from './menu.js';
import { known, people, store, name, isMember } from './store.js';
import { safeURL } from './mrkdwn.js';

/**
 * control makes the control of an element, or null for one it does not know.
 * env: {use(element, block, chosen), block, quietly, labelledby, invalid}.
 */
export function control(e, env) {
  const make = kinds[e.type];
  if (!make) return null;
  const c = make(e, env);
  if (c.field) {
    if (env.labelledby) c.field.setAttribute('aria-labelledby', env.labelledby);
    else if (!c.field.getAttribute('aria-label')) c.field.setAttribute('aria-label', plainText(e.placeholder) || e.action_id);
    if (env.invalid) {
      c.field.setAttribute('aria-invalid', 'true');
      c.field.setAttribute('aria-describedby', env.invalid);
    }
    if (e.focus_on_load) c.field.autofocus = true;
  }
  return c;
}

/** fire tells the app, after asking when the element wants that. */
async function fire(e, env, chosen, node) {
  if (env.quietly) return;
  if (e.confirm && !await confirm(e.confirm)) return;
  node.classList.add('busy');
  node.setAttribute('aria-busy', 'true');
  try {
    await env.use(e, env.block, chosen);
  } finally {
    node.classList.remove('busy');
    node.removeAttribute('aria-busy');
  }
}

function button(e, env, label = plainText(e.text)) {
  const style = ['primary', 'danger'].includes(e.style) ? e.style : '';
  const node = h('button', {
    type: 'button', class: 'button ' + style, 'aria-label': e.accessibility_label, data: { action: e.action_id || '' },
    on: {
      click: () => {
        const href = e.url && safeURL(e.url);
        if (href) window.open(href, '_blank', 'noopener,noreferrer');
        fire(e, env, {}, node);
      },
    },
  }, label);
  return { node };
}

function select(e, env, options, pick, initial) {
  const node = h('select', { data: { action: e.action_id || '' } },
    h('option', { value: '', disabled: !env.quietly, selected: !initial }, plainText(e.placeholder) || 'Choose…'),
    options.map((o) => (o.group
      ? h('optgroup', { label: o.group }, o.options.map((x) => h('option', { value: x.value, selected: x.value === initial }, x.label)))
      : h('option', { value: o.value, selected: o.value === initial }, o.label))));
  const chosen = () => pick(node.value);
  node.addEventListener('change', () => fire(e, env, chosen(), node));
  return { node: h('span', { class: 'select' }, node, icon('chevron')), field: node, read: () => ({ type: e.type, ...chosen() }) };
}

const optionsOf = (e) => (e.option_groups ? e.option_groups.flatMap((g) => g.options) : e.options || []);
const asOption = (o) => ({ value: o.value, label: plainText(o.text) });

function staticSelect(e, env) {
  const list = e.option_groups ? e.option_groups.map((g) => ({ group: plainText(g.label), options: g.options.map(asOption) })) : (e.options || []).map(asOption);
  return select(e, env, list, (value) => ({ selected_option: optionsOf(e).find((o) => o.value === value) || null }), e.initial_option?.value);
}

const userOptions = () => [...people().filter((u) => u.id === store.me), ...known()].map((u) => ({ value: u.id, label: name(u.id) }));
const channelOptions = (all) => [...store.channels.values()].filter((c) => !c.is_im && (all || isMember(c))).map((c) => ({ value: c.id, label: '#' + c.name }));

/** several is a group of boxes: checkboxes, and selects of more than one. */
function several(e, env, options, key, initial, type = 'checkbox') {
  const group = 'g' + Math.random().toString(36).slice(2);
  const node = h('fieldset', { class: 'choices', data: { action: e.action_id || '' } }, options.map((o) => h('label', { class: 'choice' },
    h('input', { type, name: group, value: o.value, checked: initial.includes(o.value) }),
    h('span', {}, o.label, o.description && h('span', { class: 'muted' }, ' ' + o.description)))));
  const chosen = () => {
    const on = [...node.querySelectorAll('input:checked')].map((i) => options.find((o) => o.value === i.value).raw);
    return type === 'radio' ? { selected_option: on[0] || null } : { [key]: on };
  };
  node.addEventListener('change', () => fire(e, env, chosen(), node));
  return { node, field: node, read: () => ({ type: e.type, ...chosen() }) };
}

const boxes = (e) => optionsOf(e).map((o) => ({ value: o.value, label: plainText(o.text), description: plainText(o.description), raw: o }));
const ids = (list) => list.map((o) => ({ ...o, raw: o.value }));

function field(type) {
  return (e, env) => {
    const long = type === 'text' && e.multiline;
    const node = h(long ? 'textarea' : 'input', {
      type: long ? undefined : type, rows: long ? 4 : undefined, value: e.initial_value || e.initial_date || e.initial_time || '', placeholder: plainText(e.placeholder),
      min: e.min_value, max: e.max_value, minLength: e.min_length, maxLength: e.max_length, data: { action: e.action_id || '' }, autocomplete: 'off',
    });
    const key = { date: 'selected_date', time: 'selected_time' }[type] || 'value';
    const chosen = () => ({ [key]: node.value || null });
    if (!env.quietly) {
      const send = () => fire(e, env, chosen(), node);
      if (['date', 'time'].includes(type)) node.addEventListener('change', send);
      else node.addEventListener('keydown', (ev) => { if (ev.key === 'Enter' && !long) { ev.preventDefault(); send(); } });
    }
    return { node, field: node, read: () => ({ type: e.type, ...chosen() }) };
  };
}

function overflow(e, env) {
  const node = h('button', {
    type: 'button', class: 'button icon-only', 'aria-label': 'More choices', 'aria-haspopup': 'menu', data: { action: e.action_id || '' },
    on: {
      click: () => menu(node, (e.options || []).map((o) => ({ label: plainText(o.text), run: () => fire(e, env, { selected_option: o }, node) }))),
    },
  }, icon('more'));
  return { node };
}

function feedback(e, env) {
  const node = h('span', { class: 'feedback' }, [e.positive_button, e.negative_button].filter(Boolean).map((b) => {
    const one = h('button', { type: 'button', class: 'button small', 'aria-label': b.accessibility_label, on: { click: () => fire(e, env, { value: b.value }, one) } }, plainText(b.text));
    return one;
  }));
  return { node };
}

const kinds = {
  button,
  workflow_button: button,
  icon_button: (e, env) => button(e, env, plainText(e.text) || 'Delete'),
  feedback_buttons: feedback,
  overflow,
  static_select: staticSelect,
  users_select: (e, env) => select(e, env, userOptions(), (v) => ({ selected_user: v || null }), e.initial_user),
  channels_select: (e, env) => select(e, env, channelOptions(true), (v) => ({ selected_channel: v || null }), e.initial_channel),
  conversations_select: (e, env) => select(e, env, channelOptions(true), (v) => ({ selected_conversation: v || null }), e.initial_conversation),
  multi_static_select: (e, env) => several(e, env, boxes(e), 'selected_options', (e.initial_options || []).map((o) => o.value)),
  multi_users_select: (e, env) => several(e, env, ids(userOptions()), 'selected_users', e.initial_users || []),
  multi_channels_select: (e, env) => several(e, env, ids(channelOptions(true)), 'selected_channels', e.initial_channels || []),
  multi_conversations_select: (e, env) => several(e, env, ids(channelOptions(true)), 'selected_conversations', e.initial_conversations || []),
  checkboxes: (e, env) => several(e, env, boxes(e), 'selected_options', (e.initial_options || []).map((o) => o.value)),
  radio_buttons: (e, env) => several(e, env, boxes(e), 'selected_option', e.initial_option ? [e.initial_option.value] : [], 'radio'),
  datepicker: field('date'),
  timepicker: field('time'),
  plain_text_input: field('text'),
  number_input: field('number'),
  email_text_input: field('email'),
  url_text_input: field('url'),
};
