-- +goose Up

-- tasks: one row per key, its mailbox. docs/tasks.md has the states.
CREATE TABLE tasks (
    key          TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL,
    kind         TEXT NOT NULL,
    wanted       BIGINT NOT NULL,            -- wakes so far
    done         BIGINT NOT NULL DEFAULT 0,  -- wakes that a finished run has answered
    due_at       BIGINT,                     -- when to run next; NULL: when woken
    claimed_due  BIGINT NOT NULL DEFAULT 0,  -- due_at of the newest claim
    lease_owner  TEXT NOT NULL DEFAULT '',   -- '': nobody works it
    lease_until  BIGINT NOT NULL DEFAULT 0,
    fence        BIGINT NOT NULL,            -- grows with every claim and take-over
    stop         INTEGER NOT NULL DEFAULT 0 CHECK (stop IN (0, 1)),         -- asked for since the claim
    claimed_stop INTEGER NOT NULL DEFAULT 0 CHECK (claimed_stop IN (0, 1)), -- asked for before it
    attempts     BIGINT NOT NULL DEFAULT 0,  -- runs in a row that failed
    takeovers    BIGINT NOT NULL DEFAULT 0,  -- runs in a row that died with their process
    last_error   TEXT NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX tasks_due ON tasks (kind, workspace, due_at) WHERE lease_owner = '' AND due_at IS NOT NULL;
CREATE INDEX tasks_leased ON tasks (lease_owner, lease_until) WHERE lease_owner <> '';

-- task_owners: who may claim under a name. A process that starts takes the next
-- epoch, which ends the claims of one that still runs under the same name.
CREATE TABLE task_owners (
    owner      TEXT PRIMARY KEY,
    epoch      BIGINT NOT NULL,
    started_at BIGINT NOT NULL
);
