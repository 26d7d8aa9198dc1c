-- +goose Up

-- Duties that are more than a schedule: other kinds, what they may do, and how
-- they report. Their constraints change, so both tables are laid anew.
DROP INDEX duties_channel;
ALTER TABLE runs RENAME TO runs_before;
ALTER TABLE duties RENAME TO duties_before;

-- duties: standing responsibilities. next_at is the truth of when one is due;
-- the task of the duty is only woken by it.
CREATE TABLE duties (
    id           TEXT PRIMARY KEY,
    workspace    TEXT NOT NULL,
    request      TEXT,                       -- names the request that made it, so that it is made once
    kind         TEXT NOT NULL CHECK (kind IN ('schedule', 'once', 'watch', 'webhook', 'follow')),
    title        TEXT NOT NULL,
    prompt       TEXT NOT NULL,              -- what to do, in plain words
    cron         TEXT NOT NULL DEFAULT '',
    tz           TEXT NOT NULL,              -- of its local times, quiet hours and days
    every_n      BIGINT NOT NULL DEFAULT 0,  -- of the days, weeks or months that cron names only each n-th counts
    every_unit   TEXT NOT NULL DEFAULT '' CHECK (every_unit IN ('', 'day', 'week', 'month')),
    from_at      BIGINT NOT NULL DEFAULT 0,  -- not before; anchors every_n
    until_at     BIGINT NOT NULL DEFAULT 0,  -- not after; 0: without end
    next_at      BIGINT NOT NULL,            -- 0: not due any more, or not by the clock; of a single one its time, also when it is over
    watches      TEXT NOT NULL DEFAULT '',   -- channel of a watch or of what is followed
    trigger      TEXT NOT NULL DEFAULT '{}', -- what sets it off beside the clock, as JSON
    channel      TEXT NOT NULL,              -- where the result appears
    channel_kind TEXT NOT NULL,
    report       TEXT NOT NULL DEFAULT 'run' CHECK (report IN ('run', 'day', 'thread')),
    thread       TEXT NOT NULL DEFAULT '',   -- root that results go under, for report 'thread'
    silent       INTEGER NOT NULL DEFAULT 0, -- 1: nothing to report is not said
    owner        TEXT NOT NULL,              -- the human who answers for it
    created_by   TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('active', 'paused', 'done', 'deleted')),
    paused_until BIGINT NOT NULL DEFAULT 0,  -- 0: until somebody resumes it
    paused_why   TEXT NOT NULL DEFAULT '',
    catch_up     TEXT NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
    overlap      TEXT NOT NULL DEFAULT 'wait' CHECK (overlap IN ('wait', 'skip', 'stop')),
    quiet        TEXT NOT NULL DEFAULT '',   -- hours in which no run begins: "mon-fri 22:00-07:00"
    jitter       BIGINT NOT NULL DEFAULT 0,  -- microseconds by which a run may begin late, to spread the load
    most_runs    BIGINT NOT NULL DEFAULT 0,  -- 0: no limit
    run_tokens   BIGINT NOT NULL DEFAULT 0,  -- of models, in one run; 0: the limit of any turn
    tools        TEXT NOT NULL DEFAULT '',   -- JSON list of the only tools that it may use; '': what its place and owner may
    label        TEXT NOT NULL DEFAULT '{}', -- of what went into its words, as JSON
    fails        BIGINT NOT NULL DEFAULT 0,  -- runs in a row that failed
    most_fails   BIGINT NOT NULL DEFAULT 5,  -- so many pause it
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (workspace, request)
);
CREATE INDEX duties_channel ON duties (workspace, channel);
CREATE INDEX duties_owner ON duties (workspace, owner);
CREATE INDEX duties_watches ON duties (workspace, watches) WHERE watches <> '' AND state = 'active';

INSERT INTO duties (id, workspace, request, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at, updated_at)
    SELECT id, workspace, request, kind, title, prompt, cron, tz, next_at, channel, channel_kind, owner, created_by, state, catch_up, created_at, updated_at
    FROM duties_before;

-- runs: one row per duty and due time, and so no run twice. What something other
-- than the clock set off is unique by its cause too.
CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    duty       TEXT NOT NULL REFERENCES duties (id),
    due_at     BIGINT NOT NULL,
    request    TEXT,                        -- of a run that somebody asked for, or what set it off
    missed     BIGINT NOT NULL DEFAULT 0,   -- earlier due times that this run stands for
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'due', 'done', 'failed', 'skipped', 'stopped')),
    turn       TEXT NOT NULL DEFAULT '',
    error      TEXT NOT NULL DEFAULT '',    -- why it failed or was skipped
    said       INTEGER NOT NULL DEFAULT 1,  -- 0: there was nothing to report
    cause      TEXT NOT NULL DEFAULT '',    -- text that goes with what set it off, as JSON
    tokens     BIGINT NOT NULL DEFAULT 0,
    cost       BIGINT NOT NULL DEFAULT 0,   -- millionths of the currency of the budgets
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    UNIQUE (duty, due_at),
    UNIQUE (duty, request)
);
CREATE INDEX runs_open ON runs (duty, due_at) WHERE state IN ('waiting', 'due');

INSERT INTO runs (id, duty, due_at, request, missed, state, turn, error, created_at, ended_at)
    SELECT id, duty, due_at, request, missed, state, turn, error, created_at, ended_at FROM runs_before;

DROP TABLE runs_before;
DROP TABLE duties_before;
