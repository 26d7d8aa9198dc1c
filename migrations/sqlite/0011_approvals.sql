-- +goose Up

-- approvals: asks that a human decides. One row for each call that policy lets
-- happen only with somebody's approval; its key is the action's.
CREATE TABLE approvals (
    id             TEXT PRIMARY KEY,
    workspace      TEXT NOT NULL,
    call           TEXT NOT NULL,              -- key of the action, of the first where one call has several
    turn           TEXT NOT NULL,
    cause          TEXT NOT NULL,
    tool           TEXT NOT NULL,
    class          TEXT NOT NULL,
    requester      TEXT NOT NULL,
    requester_kind TEXT NOT NULL,
    others         TEXT NOT NULL,              -- JSON list: who else said something that the call follows from
    channel        TEXT NOT NULL,
    channel_kind   TEXT NOT NULL,
    thread         TEXT NOT NULL,
    target         TEXT NOT NULL,
    connection     TEXT NOT NULL,
    args           TEXT NOT NULL,              -- as shown, without secrets; '' once erased
    binding        TEXT NOT NULL,              -- keyed HMAC of tool, target, arguments, tool pin and policy set
    policy_set     TEXT NOT NULL,
    policies       TEXT NOT NULL,              -- JSON list: which policies ask
    reasons        TEXT NOT NULL,              -- JSON list: why, for people
    approvers      TEXT NOT NULL,              -- JSON list, in the words of grants
    quorum         BIGINT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'used', 'denied', 'expired', 'withdrawn', 'stale')),
    ended_by       TEXT NOT NULL DEFAULT '',
    ended_why      TEXT NOT NULL DEFAULT '',
    created_at     BIGINT NOT NULL,
    remind_at      BIGINT NOT NULL,            -- 0: reminded
    expires_at     BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL DEFAULT 0,
    asked_seq      BIGINT NOT NULL             -- ledger entry of the request
);
-- One call has one open approval; an old one of the same call is history.
CREATE UNIQUE INDEX approvals_open ON approvals (workspace, call) WHERE state IN ('pending', 'approved', 'used');
CREATE INDEX approvals_call ON approvals (workspace, call, created_at);
CREATE INDEX approvals_pending ON approvals (workspace, created_at) WHERE state = 'pending';
CREATE INDEX approvals_turn ON approvals (turn);

CREATE TABLE approval_votes (
    approval TEXT NOT NULL REFERENCES approvals (id),
    person   TEXT NOT NULL,
    verdict  TEXT NOT NULL CHECK (verdict IN ('approve', 'deny')),
    reason   TEXT NOT NULL DEFAULT '',
    voted_at BIGINT NOT NULL,
    PRIMARY KEY (approval, person)
);

-- stops: what a human has switched off. Everything at once is the agent's state.
CREATE TABLE stops (
    workspace  TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('tool', 'connection', 'channel', 'person', 'credential')),
    name       TEXT NOT NULL,
    stopped_by TEXT NOT NULL,
    reason     TEXT NOT NULL,
    stopped_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, kind, name)
);

-- waiting_for: the approval that an unfinished turn waits for. Such a turn holds
-- nothing, and others may run in its thread meanwhile.
ALTER TABLE turns ADD COLUMN waiting_for TEXT NOT NULL DEFAULT '';
DROP INDEX turns_running;
CREATE UNIQUE INDEX turns_running ON turns (thread_key) WHERE state = 'running' AND waiting_for = '';
CREATE INDEX turns_waiting ON turns (thread_key) WHERE state = 'running' AND waiting_for <> '';
