-- +goose Up

-- thread_reads: how far a thread, or with thread '' a direct message, has been read
-- from Slack: the agent comes in when much has been said, and misses some of the rest.
CREATE TABLE thread_reads (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    thread    TEXT NOT NULL,                -- ts of the root
    read_to   TEXT NOT NULL,                -- ts of the newest message that was read
    PRIMARY KEY (workspace, channel, thread)
);

-- own_messages: what the agent said in those threads. No search gives it: an answer
-- is no source for another.
CREATE TABLE own_messages (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    thread    TEXT NOT NULL,
    ts        TEXT NOT NULL,
    author    TEXT NOT NULL,
    text      TEXT NOT NULL,
    turn      TEXT NOT NULL,                -- that said it, '' for none
    PRIMARY KEY (workspace, channel, ts)
);
CREATE INDEX own_messages_thread ON own_messages (workspace, channel, thread, ts);
CREATE INDEX own_messages_turn ON own_messages (turn);

-- memory_scopes: what memory does in a scope, where it differs from the default.
CREATE TABLE memory_scopes (
    workspace  TEXT NOT NULL,
    scope      TEXT NOT NULL,               -- workspace, channel:C…, dm:D…
    learn      INTEGER NOT NULL DEFAULT 0,  -- keep all messages of the channel, not only threads of the agent
    off        INTEGER NOT NULL DEFAULT 0,  -- make no notes here
    retention  BIGINT NOT NULL DEFAULT 0,   -- days that messages are kept; 0: the workspace's, or for ever
    hold       INTEGER NOT NULL DEFAULT 0,  -- legal hold: nothing of it is erased
    instructions TEXT NOT NULL DEFAULT '',  -- for the agent, from who governs the scope
    changed_by TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, scope)
);

-- turn_contexts: what the model was given last in a turn, as it was sent.
CREATE TABLE turn_contexts (
    turn      TEXT PRIMARY KEY,
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    thread    TEXT NOT NULL,
    messages  TEXT NOT NULL,                -- JSON
    tokens    BIGINT NOT NULL,              -- estimated, at four characters each
    built_at  BIGINT NOT NULL
);
CREATE INDEX turn_contexts_thread ON turn_contexts (workspace, channel, thread, built_at);

CREATE INDEX messages_said ON messages (workspace, said_at);
