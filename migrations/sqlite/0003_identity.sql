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
-- an action for ever: whatever has the same key is the same action. Every column
-- is covered by the ledger entries that it refers to.
CREATE TABLE actions (
    workspace   TEXT NOT NULL,
    key         TEXT NOT NULL,
    turn        TEXT NOT NULL,
    tool        TEXT NOT NULL,
    class       TEXT NOT NULL,
    requester   TEXT NOT NULL,
    channel     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,              -- keyed HMAC of tool, target and arguments
    state       TEXT NOT NULL CHECK (state IN ('intended', 'done', 'failed', 'unknown', 'cancelled', 'denied')),
    result      TEXT NOT NULL DEFAULT '',   -- JSON
    error       TEXT NOT NULL DEFAULT '',   -- why it failed, or was denied
    intent_seq  BIGINT NOT NULL,            -- ledger entry of the newest intent, or of the denial
    outcome_seq BIGINT NOT NULL DEFAULT -1, -- of its outcome; -1: none yet
    attempts    BIGINT NOT NULL DEFAULT 1,  -- intents so far
    created_at  BIGINT NOT NULL,            -- of the first
    ended_at    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, key)
) WITHOUT ROWID;
CREATE UNIQUE INDEX actions_entry ON actions (workspace, intent_seq);
CREATE INDEX actions_turn ON actions (turn);
