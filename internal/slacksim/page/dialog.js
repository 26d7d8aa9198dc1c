// dialog.js shows the modals of apps and the questions that elements ask first.

import { h, icon, toast, digest } from './dom.js';
import { plain, text, blocks } from './blocks.js';
import { plainText } from './label.js';
import { emulate } from './net.js';
import { store, topView } from './store.js';

/** confirm asks what a confirmation object says; true is yes. */
export function confirm(o) {
  return new Promise((done) => {
    const dialog = h('dialog', { class: 'dialog small', 'aria-label': plainText(o.title) },
      h('div', { class: 'dialog-head' }, h('h2', {}, plain(o.title?.text))),
      h('div', { class: 'dialog-body' }, text(o.text)),
      h('div', { class: 'dialog-foot' },
        h('button', { type: 'button', class: 'button', on: { click: () => dialog.close('') } }, plainText(o.deny) || 'Cancel'),
        h('button', { type: 'button', class: 'button ' + (o.style === 'danger' ? 'danger' : 'primary'), data: { confirm: 'yes' }, on: { click: () => dialog.close('yes') } }, plainText(o.confirm) || 'Yes')));
    dialog.addEventListener('close', () => {
      dialog.remove();
      done(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

let shown = null; // {id, sig, dialog}

/** showModal makes the page show the topmost modal of the person, or none. */
export function showModal() {
  const v = topView();
  const sig = v ? digest([v.id, v.hash]) : '';
  if (shown?.sig === sig) return;
  if (shown) {
    shown.dialog.remove();
    shown = null;
  }
  if (v) shown = { id: v.id, sig, dialog: modal(v, {}) };
}

const values = (inputs) => Object.fromEntries([...inputs].map(([block, actions]) => [block, Object.fromEntries([...actions].map(([id, read]) => [id, read()]))]));

function modal(v, errors, keep) {
  const inputs = new Map();
  const env = {
    inputs, errors,
    use: async (e, block, chosen) => {
      try {
        await emulate('interact', { user: store.me, view_id: v.id, block_id: block.block_id, action_id: e.action_id, state: values(inputs), ...chosen });
      } catch (err) {
        toast(err.message, true);
      }
    },
  };
  const body = h('div', { class: 'dialog-body' }, blocks(keep || v.blocks, env));
  const close = () => leave(v);
  const form = h('form', { class: 'dialog-form', on: { submit: (e) => { e.preventDefault(); submit(v, values(inputs), form); } } },
    h('div', { class: 'dialog-head' }, h('h2', {}, plain(v.title?.text)),
      h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close', on: { click: close } }, icon('close'))),
    body,
    h('div', { class: 'dialog-foot' },
      h('button', { type: 'button', class: 'button', on: { click: close } }, plainText(v.close) || 'Cancel'),
      v.submit && h('button', { type: 'submit', class: 'button primary', disabled: v.submit_disabled }, plainText(v.submit))));
  const dialog = h('dialog', { class: 'dialog', 'aria-label': plainText(v.title), data: { view: v.id } }, form);
  dialog.addEventListener('cancel', (e) => { e.preventDefault(); close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

async function leave(v) {
  try {
    await emulate('view', { user: store.me, type: 'view_closed', view_id: v.id, values: {} });
  } catch (err) {
    toast(err.message, true);
  }
  store.views.delete(v.id);
  showModal();
}

async function submit(v, given, form) {
  const button = form.querySelector('[type=submit]');
  button.disabled = true;
  try {
    const answer = await emulate('view', { user: store.me, type: 'view_submission', view_id: v.id, values: given });
    if (answer.response_action === 'errors') {
      shown?.dialog.remove();
      shown = { ...shown, dialog: modal(v, answer.errors || {}, refill(v.blocks, given)) };
    }
  } catch (err) {
    toast(err.message, true);
  }
  button.disabled = false;
}

/** refill puts what was typed back into the blocks that are drawn again. */
function refill(list, given) {
  return list.map((b) => {
    const was = b.element && given[b.block_id]?.[b.element.action_id];
    if (!was) return b;
    const element = { ...b.element };
    for (const [key, value] of Object.entries(was)) {
      if (key.startsWith('selected_')) element['initial_' + key.slice('selected_'.length)] = value || undefined;
      else if (key === 'value') element.initial_value = value || '';
    }
    return { ...b, element };
  });
}
