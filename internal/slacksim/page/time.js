// time.js words times as the person who is looking reads them: in their time
// zone, against the workspace's clock.

import { store, now } from './store.js';

const zone = () => store.users.get(store.me)?.tz || undefined;
const at = (ts) => new Date(Number(ts) * 1000);
const format = (date, options) => new Intl.DateTimeFormat('en-GB', { timeZone: zone(), ...options }).format(date);

/** dayKey is the same for all times of one day. */
export const dayKey = (ts) => format(at(ts), { year: 'numeric', month: '2-digit', day: '2-digit' });

export function dayName(ts) {
  const key = dayKey(ts), today = now().getTime() / 1000;
  if (key === dayKey(today)) return 'Today';
  if (key === dayKey(today - 86400)) return 'Yesterday';
  return format(at(ts), { weekday: 'long', day: 'numeric', month: 'long' });
}

export const clockTime = (ts) => format(at(ts), { hour: '2-digit', minute: '2-digit' });

export const fullTime = (ts) => format(at(ts), { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** clockFace is the workspace's clock in full. */
export const clockFace = () => format(now(), { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const zoneName = () => zone() || 'local time';

/** ago is how long ago a time is, in words. */
export function ago(ts) {
  const s = Math.max(0, now().getTime() / 1000 - Number(ts));
  if (s < 60) return 'just now';
  const [n, unit] = s < 3600 ? [s / 60, 'minute'] : s < 86400 ? [s / 3600, 'hour'] : [s / 86400, 'day'];
  const whole = Math.floor(n);
  return whole + ' ' + unit + (whole === 1 ? '' : 's') + ' ago';
}

/** untilNine is how many seconds there are to the next 9:00 of the person. */
export function untilNine() {
  const [hour, minute, second] = format(now(), { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).split(':').map(Number);
  const left = 9 * 3600 - (hour * 3600 + minute * 60 + second);
  return left > 0 ? left : left + 86400;
}
