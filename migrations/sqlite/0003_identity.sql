-- +goose Up

-- agents: the colleague in each workspace.
CREATE TABLE agents (
    workspace  TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL,             -- its own Slack account
    name       TEXT NOT NULL,
    charter    TEXT NOT NULL DEFAULT '',
    sponsor    TEXT NOT NULL DEFAULT '',  -- the human who answers for it
    state      TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'retired')),
    reason     TEXT NOT NULL DEFAULT '',
    changed_by TEXT NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL
);

-- actions: everything that passed the gate or was refused by it. The key names
-- an action for ever: whatever has the same key is the same action.
CREATE TABLE actions (
    key         TEXT PRIMARY KEY,
    workspace   TEXT NOT NULL,
    turn        TEXT NOT NULL,
    tool        TEXT NOT NULL,
    class       TEXT NOT NULL,
    requester   TEXT NOT NULL,
    channel     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,            -- of tool, target and arguments
    reasons     TEXT NOT NULL,            -- why it was denied, JSON list
    state       TEXT NOT NULL CHECK (state IN ('intended', 'done', 'failed', 'unknown', 'denied')),
    result      TEXT NOT NULL DEFAULT '', -- JSON
    error       TEXT NOT NULL DEFAULT '',
    intent_seq  BIGINT NOT NULL,          -- ledger entry of the intent, or of the denial
    created_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX actions_open ON actions (workspace, turn) WHERE state = 'intended';
CREATE INDEX actions_recent ON actions (workspace, created_at);
