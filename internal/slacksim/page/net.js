// net.js talks to the workspace: the Web API as the person who is looking, the
// emulator's own addresses, and the live stream.

/** Refused is an answer with ok false; code is Slack's word for why. */
export class Refused extends Error {
  constructor(code, body) {
    super(explain(code));
    this.code = code;
    this.body = body;
  }
}

const reasons = {
  not_in_channel: 'You are not in this channel.',
  channel_not_found: 'This person cannot see that channel.',
  is_archived: 'This channel is archived.',
  cant_update_message: 'Only the author can edit this message.',
  cant_delete_message: 'Only the author can delete this message.',
  message_not_found: 'That message is gone.',
  no_text: 'There is nothing to send.',
  msg_too_long: 'That is too long for one message.',
  unknown_command: 'No app here knows that command.',
  already_reacted: 'You have already reacted with that.',
  not_acknowledged: 'The app did not answer in time.',
  operation_timeout: 'The app did not answer in time.',
  user_not_found: 'There is no such person here.',
  view_not_found: 'That dialog is no longer open.',
};

function explain(code) {
  return reasons[code] || 'That was refused: ' + (code || 'no reason given') + '.';
}

async function read(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Refused('status ' + response.status);
  }
  if (body.ok === false) throw new Refused(body.error, body);
  return body;
}

/** call calls a Web API method with a person's own token. */
export async function call(user, method, args) {
  const form = new URLSearchParams();
  for (const [k, v] of Object.entries(args)) if (v !== undefined && v !== '') form.set(k, v);
  return read(await fetch('/api/' + method, { method: 'POST', body: form, headers: { Authorization: 'Bearer xoxp-' + user } }));
}

/** emulate posts to one of the emulator's own addresses. */
export async function emulate(address, body) {
  return read(await fetch('/emulator/' + address, {
    method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' },
  }));
}

/** look reads one of the emulator's own addresses. */
export async function look(address) {
  return read(await fetch('/emulator/' + address));
}

export async function disarm(id) {
  return read(await fetch('/emulator/faults?id=' + encodeURIComponent(id), { method: 'DELETE' }));
}

/**
 * follow opens the live stream of a person from seq on. The browser reconnects
 * by itself with Last-Event-ID; connected(false) is told when it has to. It
 * returns a function that ends the stream.
 */
export function follow(user, seq, { frame, connected }) {
  let source, timer, last = seq, over = false;
  const open = () => {
    source = new EventSource('/emulator/stream?user=' + encodeURIComponent(user) + '&since=' + last);
    source.onopen = () => connected(true);
    source.onmessage = (e) => {
      if (e.lastEventId) last = Number(e.lastEventId);
      frame(JSON.parse(e.data));
    };
    source.onerror = () => {
      connected(false);
      // A refused connection ends an EventSource for good: open another.
      if (source.readyState === EventSource.CLOSED && !over) timer = setTimeout(open, 2000);
    };
  };
  open();
  return () => {
    over = true;
    clearTimeout(timer);
    source.close();
  };
}
