// The suite of calls that runs through Slack's own clients. It prints one JSON
// line per check, {"name": …, "result": …}; the Go test runs the same checks
// through slack-go and compares the results. Results hold nothing that differs
// from run to run, such as timestamps.
import { WebClient, LogLevel } from '@slack/web-api';
import { SocketModeClient } from '@slack/socket-mode';
import bolt from '@slack/bolt';

const { SLACK_BASE: base, SLACK_BOT_TOKEN: botToken, SLACK_APP_TOKEN: appToken } = process.env;
const slackApiUrl = `${base}/api/`;
const quiet = { slackApiUrl, logLevel: LogLevel.ERROR };
const once = { ...quiet, retryConfig: { retries: 0 }, rejectRateLimitedCalls: true };
const web = new WebClient(botToken, once);
const as = (user) => new WebClient(`xoxp-${user}`, once);

function report(name, result) {
  process.stdout.write(`${JSON.stringify({ name, result })}\n`);
}

// refusal is the error code with which a call fails.
async function refusal(promise) {
  try {
    await promise;
    return 'no error';
  } catch (err) {
    if (err.code === 'slack_webapi_rate_limited_error') return `ratelimited after ${err.retryAfter}`;
    return err.data?.error ?? String(err);
  }
}

async function control(path, body) {
  const answer = await fetch(base + path, { method: 'POST', body: JSON.stringify(body) });
  return answer.json();
}

function section(text) {
  return { type: 'section', text: { type: 'mrkdwn', text } };
}

function button(id) {
  return { type: 'actions', block_id: 'choice', elements: [{ type: 'button', action_id: id, value: 'yes', text: { type: 'plain_text', text: 'Yes' } }] };
}

async function people() {
  const me = await web.auth.test();
  report('auth.test', { team: me.team, team_id: me.team_id, user: me.user, user_id: me.user_id, bot_id: me.bot_id });
  const gil = (await web.users.info({ user: 'U0GIL' })).user;
  report('users.info guest', { name: gil.name, is_restricted: gil.is_restricted, is_bot: gil.is_bot, tz: gil.tz });
  const xena = (await web.users.info({ user: 'U0XENA' })).user;
  report('users.info outsider', { team_id: xena.team_id, is_stranger: xena.is_stranger ?? false });
  report('users.list', (await web.users.list({})).members.map((u) => u.id));
  report('users.lookupByEmail', (await web.users.lookupByEmail({ email: 'ada@northwind.example' })).user.id);
  const b = (await web.bots.info({ bot: 'B0DESKMATE' })).bot;
  report('bots.info', { id: b.id, app_id: b.app_id, user_id: b.user_id, name: b.name });
}

async function channels() {
  const info = (await web.conversations.info({ channel: 'C0LEADS', include_num_members: true })).channel;
  report('conversations.info', { name: info.name, is_private: info.is_private, is_member: info.is_member, num_members: info.num_members });
  const shared = (await web.conversations.info({ channel: 'C0PARTNERS' })).channel;
  report('conversations.info shared', { is_ext_shared: shared.is_ext_shared });
  const first = await web.conversations.list({ types: 'public_channel,private_channel', limit: 3 });
  const second = await web.conversations.list({ types: 'public_channel,private_channel', limit: 3, cursor: first.response_metadata.next_cursor });
  report('conversations.list', [...first.channels, ...second.channels].map((c) => c.id));
  report('conversations.members', (await web.conversations.members({ channel: 'C0ENG' })).members);
  const dm = (await web.conversations.open({ users: 'U0BEN' })).channel.id;
  const again = (await web.conversations.open({ users: 'U0BEN' })).channel.id;
  report('conversations.open', { direct: dm[0], same: dm === again });
}

async function messages() {
  const root = await web.chat.postMessage({ channel: 'C0ENG', text: 'a <@U0ADA> & <b>', metadata: { event_type: 'key', event_payload: { k: 1 } } });
  report('chat.postMessage', { channel: root.channel, text: root.message.text, bot_id: root.message.bot_id, has_ts: /^\d+\.\d{6}$/.test(root.ts) });
  const reply = await web.chat.postMessage({ channel: 'C0ENG', text: 'in the thread', thread_ts: root.ts, blocks: [section('in the thread')] });
  const changed = await web.chat.update({ channel: 'C0ENG', ts: reply.ts, text: 'changed' });
  report('chat.update', { text: changed.text, same: changed.ts === reply.ts });
  const thread = await web.conversations.replies({ channel: 'C0ENG', ts: root.ts });
  report('conversations.replies', thread.messages.map((m) => ({ text: m.text, replies: m.reply_count ?? 0, edited: m.edited !== undefined })));
  const history = await web.conversations.history({ channel: 'C0ENG', include_all_metadata: true, limit: 1 });
  report('conversations.history', { texts: history.messages.map((m) => m.text), payload: history.messages[0].metadata.event_payload });
  const link = await web.chat.getPermalink({ channel: 'C0ENG', message_ts: root.ts });
  report('chat.getPermalink', link.permalink.includes(`/archives/C0ENG/p${root.ts.replace('.', '')}`));
  await web.reactions.add({ channel: 'C0ENG', timestamp: root.ts, name: 'eyes' });
  report('already_reacted', await refusal(web.reactions.add({ channel: 'C0ENG', timestamp: root.ts, name: 'eyes' })));
  await web.reactions.remove({ channel: 'C0ENG', timestamp: root.ts, name: 'eyes' });
  report('no_reaction', await refusal(web.reactions.remove({ channel: 'C0ENG', timestamp: root.ts, name: 'eyes' })));
  report('chat.postEphemeral', typeof (await web.chat.postEphemeral({ channel: 'C0ENG', user: 'U0BEN', text: 'only you' })).message_ts);
  report('chat.delete', (await web.chat.delete({ channel: 'C0ENG', ts: reply.ts })).ts === reply.ts);
  const people = as('U0BEN');
  const said = await people.chat.postMessage({ channel: 'C0ENG', text: 'hello from Ben' });
  report('as a person', { user: said.message.user, bot: said.message.bot_id ?? '' });
}

async function refusals() {
  const post = (more) => refusal(web.chat.postMessage({ channel: 'C0ENG', text: 'x', ...more }));
  report('channel_not_found', await post({ channel: 'C0NOWHERE' }));
  report('no_text', await post({ text: '' }));
  report('thread_not_found', await post({ thread_ts: '1.000001' }));
  report('invalid_blocks', await post({ blocks: [{ type: 'nonsense' }] }));
  report('too many blocks', await post({ blocks: Array.from({ length: 51 }, () => ({ type: 'divider' })) }));
  report('long section', await post({ blocks: [section('x'.repeat(3001))] }));
  report('message_not_found', await refusal(web.chat.update({ channel: 'C0ENG', ts: '1.000001', text: 'x' })));
  const mine = await web.chat.postMessage({ channel: 'C0ENG', text: 'short' });
  report('msg_too_long', await refusal(web.chat.update({ channel: 'C0ENG', ts: mine.ts, text: 'x'.repeat(4001) })));
  report('missing_scope', await refusal(web.team.info()));
  report('invalid_auth', await refusal(new WebClient('xoxb-wrong', once).auth.test()));
  report('not_authed', await refusal(new WebClient('', once).auth.test()));
  report('not_allowed_token_type', await refusal(new WebClient(appToken, once).auth.test()));
  report('guest sees nothing', await refusal(as('U0GIL').conversations.history({ channel: 'C0ENG' })));
  report('outsider sees nothing', await refusal(as('U0XENA').conversations.history({ channel: 'C0GENERAL' })));
  report('invalid_trigger_id', await refusal(web.views.open({ trigger_id: 'none', view: { type: 'modal', title: { type: 'plain_text', text: 't' }, blocks: [] } })));
  await control('/emulator/faults', { kind: '429', method: 'users.info', times: 1, retry_after: 7 });
  report('ratelimited', await refusal(web.users.info({ user: 'U0ADA' })));
}

async function agent() {
  const root = await web.chat.postMessage({ channel: 'C0ENG', text: 'stream here' });
  const stream = web.chatStream({ channel: 'C0ENG', thread_ts: root.ts, recipient_user_id: 'U0BEN', recipient_team_id: 'T0DESKMATE', buffer_size: 4 });
  await stream.append({ markdown_text: 'one, ' });
  await stream.append({ markdown_text: 'two, ' });
  await stream.append({ chunks: [{ type: 'task_update', id: 't', title: 'Look', status: 'complete' }] });
  const done = await stream.stop({ markdown_text: 'three' });
  report('stream', { ok: done.ok, refused: await refusal(web.chat.appendStream({ channel: 'C0ENG', ts: done.ts, markdown_text: 'late' })) });
  const thread = await web.conversations.replies({ channel: 'C0ENG', ts: root.ts });
  report('stream text', thread.messages.at(-1).text);
  report('assistant.threads.setStatus', (await web.assistant.threads.setStatus({ channel_id: 'C0ENG', thread_ts: root.ts, status: 'is thinking' })).ok);
  const session = await web.agents.sessions.setStatus({ channel_id: 'C0ENG', thread_ts: root.ts, status: 'suspended' });
  const renamed = await web.agents.sessions.rename({ channel_id: 'C0ENG', thread_ts: root.ts, title: 'Streaming' });
  report('agents.sessions', { status: session.status, title: renamed.title });
  report('views.publish', (await web.views.publish({ user_id: 'U0ADA', view: { type: 'home', blocks: [section('Home')] } })).view.type);
  const up = /** @type {any} */ (await web.files.uploadV2({ channel_id: 'C0ENG', filename: 'notes.txt', content: 'hello file', title: 'Notes' }));
  const id = up.files[0].files[0].id;
  const file = (await web.files.info({ file: id })).file;
  report('files', { name: file.name, title: file.title, size: file.size });
}

// next resolves with the first event that fits.
function next(client, name, fits) {
  return new Promise((resolve) => {
    const on = async (args) => {
      if (!fits(args)) return;
      client.off(name, on);
      resolve(args);
    };
    client.on(name, on);
  });
}

async function sockets() {
  const client = new SocketModeClient({ appToken, logLevel: LogLevel.ERROR, clientOptions: quiet });
  await client.start();
  client.on('slack_event', async ({ ack, type }) => {
    if (type === 'events_api') await ack();
  });
  const mentioned = next(client, 'app_mention', () => true);
  // What was said before the connection came up arrives on it too, late or early.
  const heard = next(client, 'message', ({ event }) => event.user === 'U0BEN' && event.text === '<@U0DESKMATE> hi');
  await as('U0BEN').chat.postMessage({ channel: 'C0ENG', text: '<@U0DESKMATE> hi' });
  const [mention, message] = await Promise.all([mentioned, heard]);
  report('socket events', { mention: mention.event.text, message: message.event.text, type: message.event.channel_type,
    bot: message.body.authorizations[0].user_id, same: mention.event.ts === message.event.ts });

  const card = await web.chat.postMessage({ channel: 'C0ENG', text: 'choose', blocks: [button('pick')] });
  const pressed = next(client, 'interactive', () => true);
  const answered = control('/emulator/interact', { user: 'U0BEN', channel: 'C0ENG', message_ts: card.ts, block_id: 'choice', action_id: 'pick' });
  const { body, ack } = await pressed;
  await ack();
  await answered;
  const used = [];
  for (let i = 0; i < 6; i += 1) {
    const r = await fetch(body.response_url, { method: 'POST', body: JSON.stringify({ text: `use ${i}`, replace_original: true }) });
    used.push(r.status);
  }
  report('block_actions', { user: body.user.id, action: body.actions[0].action_id, value: body.actions[0].value, channel: body.channel.id, used });

  const commanded = next(client, 'slash_commands', () => true);
  const shown = control('/emulator/command', { user: 'U0BEN', channel: 'C0ENG', command: '/deskmate', text: 'help' });
  const command = await commanded;
  await command.ack({ text: 'I can help' });
  report('slash command', { text: command.body.text, user: command.body.user_id, ok: (await shown).ok });
  await client.disconnect();
}

// app runs a Bolt app, as most Slack apps are written.
async function app() {
  const it = new bolt.App({ token: botToken, appToken, socketMode: true, logLevel: LogLevel.ERROR, clientOptions: { slackApiUrl } });
  it.event('app_mention', async ({ event, say }) => {
    await say({ text: `hello <@${event.user}>`, thread_ts: event.ts, blocks: [section('hello'), button('again')] });
  });
  const acted = new Promise((resolve) => {
    it.action('again', async ({ ack, respond, body }) => {
      await ack();
      await respond({ text: 'thanks', replace_original: true });
      resolve(body.user.id);
    });
  });
  await it.start();
  const asked = await as('U0BEN').chat.postMessage({ channel: 'C0ENG', text: '<@U0DESKMATE> are you there?' });
  const reply = await replyTo(asked.ts, (m) => m.blocks);
  report('app reply', reply.text);
  await control('/emulator/interact', { user: 'U0ADA', channel: 'C0ENG', message_ts: reply.ts, block_id: 'choice', action_id: 'again' });
  report('app action', { by: await acted, text: (await replyTo(asked.ts, (m) => m.edited)).text });
  await it.stop();
}

// replyTo polls a thread for its first reply that fits, within ten seconds.
async function replyTo(ts, fits) {
  const quietly = new WebClient('xoxp-U0BEN', quiet);
  for (const until = Date.now() + 10_000; Date.now() < until; ) {
    const { messages } = await quietly.conversations.replies({ channel: 'C0ENG', ts });
    const found = messages.slice(1).find(fits);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('no reply within ten seconds');
}

for (const part of [people, channels, messages, refusals, agent, sockets, app]) {
  await part();
}
process.exit(0);
