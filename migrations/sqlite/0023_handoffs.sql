-- +goose Up

-- A thread is open until somebody says that it is settled; told is one that the
-- agent began and nobody has answered: nobody's work.
ALTER TABLE threads ADD COLUMN state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'settled', 'told'));
CREATE INDEX threads_owner ON threads (workspace, owner, last_at);

-- handoffs: offers of duties and threads from one person to another. Until an
-- item is accepted its owner keeps it.
CREATE TABLE handoffs (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL,
    from_owner TEXT NOT NULL,
    to_owner   TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('offered', 'accepted', 'declined', 'withdrawn', 'expired', 'part')),
    asked_by   TEXT NOT NULL,
    reason     TEXT NOT NULL DEFAULT '',
    via        TEXT NOT NULL,               -- message, command, card, cli
    request    TEXT,                        -- names the request, so that it offers once
    plan       TEXT NOT NULL DEFAULT '',    -- the plan that it follows from
    left_out   BIGINT NOT NULL DEFAULT 0,   -- what was meant too and may not be seen by the new owner
    shown_at   BIGINT NOT NULL DEFAULT 0,   -- when the new owner was asked; 0: not yet
    reminded   BIGINT NOT NULL DEFAULT 0,   -- reminders that are behind
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    UNIQUE (workspace, request)
);
CREATE INDEX handoffs_recent ON handoffs (workspace, created_at);

CREATE TABLE handoff_items (
    handoff  TEXT NOT NULL REFERENCES handoffs (id),
    n        BIGINT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('duty', 'thread')),
    item     TEXT NOT NULL,                 -- id of the duty; channel:ts of the thread
    owner    TEXT NOT NULL,                 -- who keeps it until it is accepted
    state    TEXT NOT NULL CHECK (state IN ('offered', 'accepted', 'declined', 'withdrawn', 'expired', 'gone')),
    why      TEXT NOT NULL DEFAULT '',      -- it was declined, or is gone
    brief    TEXT NOT NULL DEFAULT '',      -- key of the post that holds its brief
    label    TEXT NOT NULL DEFAULT '{}',    -- of what went into the brief, as JSON
    left_out INTEGER NOT NULL DEFAULT 0,    -- 1: the brief leaves out what the new owner may not see
    PRIMARY KEY (handoff, n)
);
CREATE UNIQUE INDEX handoff_items_once ON handoff_items (kind, item) WHERE state = 'offered';

-- handoff_plans: who takes what when somebody leaves, to be confirmed.
CREATE TABLE handoff_plans (
    id           TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL,
    person       TEXT NOT NULL,             -- who leaves
    leaves_at    BIGINT NOT NULL,           -- 0: no day is set
    asked_by     TEXT NOT NULL,
    request      TEXT,
    state        TEXT NOT NULL CHECK (state IN ('proposed', 'confirmed', 'dropped', 'done')),
    confirmed_by TEXT NOT NULL DEFAULT '',
    created_at   BIGINT NOT NULL,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    UNIQUE (workspace, request)
);

CREATE TABLE handoff_plan_items (
    plan     TEXT NOT NULL REFERENCES handoff_plans (id),
    n        BIGINT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('duty', 'thread')),
    item     TEXT NOT NULL,
    to_owner TEXT NOT NULL,
    why      TEXT NOT NULL,                 -- why this person is proposed
    seen     INTEGER NOT NULL DEFAULT 0,    -- 1: who asked for the plan may see it
    PRIMARY KEY (plan, n)
);

-- lapses: work whose owner or place is gone, and which waits for a human to say
-- what becomes of it.
CREATE TABLE lapses (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL,
    cause      TEXT NOT NULL,               -- owner-gone, channel-archived …
    about      TEXT NOT NULL,               -- the person or channel
    asked      TEXT NOT NULL,               -- who is asked, separated by commas
    state      TEXT NOT NULL CHECK (state IN ('open', 'settled')),
    shown_at   BIGINT NOT NULL DEFAULT 0,   -- when people were asked; 0: not yet
    reminded   BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    ended_by   TEXT NOT NULL DEFAULT '',
    ended_how  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX lapses_open ON lapses (workspace, about) WHERE state = 'open';

CREATE TABLE lapse_items (
    lapse TEXT NOT NULL REFERENCES lapses (id),
    n     BIGINT NOT NULL,
    kind  TEXT NOT NULL CHECK (kind IN ('duty', 'thread')),
    item  TEXT NOT NULL,
    owner TEXT NOT NULL,                    -- who keeps it meanwhile
    held  INTEGER NOT NULL,                 -- 1: the duty was paused for it
    seen  TEXT NOT NULL DEFAULT '',         -- who of the asked may see it, separated by commas
    open  INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (lapse, n)
);
CREATE UNIQUE INDEX lapse_items_once ON lapse_items (kind, item) WHERE open = 1;
