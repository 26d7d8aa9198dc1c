-- +goose Up

-- thread_reads: threads whose messages from before the agent took part have been
-- read from Slack. What came after was delivered.
CREATE TABLE thread_reads (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    thread    TEXT NOT NULL,                -- ts of the root
    read_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace, channel, thread)
);

-- memory_scopes: what memory does in a scope, where it differs from the default.
CREATE TABLE memory_scopes (
    workspace  TEXT NOT NULL,
    scope      TEXT NOT NULL,               -- workspace, channel:C…, dm:D…
    learn      INTEGER NOT NULL DEFAULT 0,  -- keep all messages of the channel, not only threads of the agent
    off        INTEGER NOT NULL DEFAULT 0,  -- make no notes here
    retention  BIGINT NOT NULL DEFAULT 0,   -- days that messages are kept; 0: the workspace's, or for ever
    hold       INTEGER NOT NULL DEFAULT 0,  -- legal hold: nothing of it is erased
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
