-- +goose Up

-- inbox: one row per thing that happened, unique by what it means, so that
-- app_mention + message, redeliveries and both connections collapse to one.
CREATE TABLE inbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace   TEXT NOT NULL,
    event_key   TEXT NOT NULL,          -- message:C:ts, edit:C:ts:edited, delete:C:ts, action:…, duty:id:due
    kind        TEXT NOT NULL,          -- message, edit, delete, stop, action, duty
    thread_key  TEXT NOT NULL,          -- the task that works it
    channel     TEXT NOT NULL,
    thread_ts   TEXT NOT NULL,          -- '' where answers go to the channel itself
    ts          TEXT NOT NULL,          -- the message it is about
    user_id     TEXT NOT NULL,
    body        TEXT NOT NULL,          -- the Event as JSON
    state       TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'taken', 'done', 'cancelled')),
    turn        TEXT NOT NULL DEFAULT '',
    received_at BIGINT NOT NULL,
    done_at     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (workspace, event_key)
);
CREATE INDEX inbox_open ON inbox (thread_key, id) WHERE state IN ('new', 'taken');
CREATE INDEX inbox_message ON inbox (workspace, channel, ts);

-- threads the agent takes part in: a reply in one of them is for the agent.
CREATE TABLE threads (
    workspace  TEXT NOT NULL,
    channel    TEXT NOT NULL,
    thread_ts  TEXT NOT NULL,
    thread_key TEXT NOT NULL,
    owner      TEXT NOT NULL,           -- the human who answers for the thread
    joined_at  BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    PRIMARY KEY (workspace, channel, thread_ts)
);

CREATE TABLE turns (
    id            TEXT PRIMARY KEY,
    workspace     TEXT NOT NULL,
    thread_key    TEXT NOT NULL,
    channel       TEXT NOT NULL,
    thread_ts     TEXT NOT NULL,
    requester     TEXT NOT NULL,
    cause_kind    TEXT NOT NULL,        -- message, duty
    cause         TEXT NOT NULL,        -- the event_key that began it
    state         TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'stopped')),
    reason        TEXT NOT NULL DEFAULT '',
    input_tokens  BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    progress_ts   TEXT NOT NULL DEFAULT '',
    started_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX turns_running ON turns (thread_key) WHERE state = 'running';
CREATE INDEX turns_recent ON turns (workspace, started_at);

CREATE TABLE steps (
    turn       TEXT NOT NULL REFERENCES turns (id),
    n          BIGINT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('message', 'model', 'action', 'reply')),
    call_id    TEXT NOT NULL DEFAULT '',
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (turn, n)
);

-- outbox: posts and edits that are owed to people, sent in order per channel.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace  TEXT NOT NULL,
    channel    TEXT NOT NULL,
    thread_ts  TEXT NOT NULL,
    post_key   TEXT NOT NULL UNIQUE,    -- travels in message metadata
    turn       TEXT NOT NULL,
    body       TEXT NOT NULL,           -- the Post as JSON
    state      TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed', 'cancelled')),
    ts         TEXT NOT NULL DEFAULT '',
    error      TEXT NOT NULL DEFAULT '',
    attempts   BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    sent_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX outbox_queued ON outbox (workspace, channel, id) WHERE state = 'queued';
CREATE INDEX outbox_turn ON outbox (turn);
