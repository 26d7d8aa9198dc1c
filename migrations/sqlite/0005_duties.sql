-- +goose Up

-- duties: standing responsibilities. next_at is the truth of when one is due;
-- the task of the duty is only woken by it.
CREATE TABLE duties (
    id          TEXT PRIMARY KEY,
    workspace   TEXT NOT NULL,
    request     TEXT,                       -- names the request that made it, so that it is made once
    kind        TEXT NOT NULL CHECK (kind IN ('schedule', 'once')),
    title       TEXT NOT NULL,
    prompt      TEXT NOT NULL,              -- what to do, in plain words
    cron        TEXT NOT NULL DEFAULT '',
    tz          TEXT NOT NULL,
    next_at     BIGINT NOT NULL,            -- 0: not due any more; of a single one its time, also when it is over
    channel     TEXT NOT NULL,              -- where the result appears
    channel_kind TEXT NOT NULL,
    owner       TEXT NOT NULL,              -- the human who answers for it
    created_by  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('active', 'paused', 'done', 'deleted')),
    catch_up    TEXT NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (workspace, request)
);
CREATE INDEX duties_channel ON duties (workspace, channel);

-- runs: one row per duty and due time, and so no run twice.
CREATE TABLE runs (
    id         TEXT PRIMARY KEY,
    duty       TEXT NOT NULL REFERENCES duties (id),
    due_at     BIGINT NOT NULL,
    request    TEXT,                        -- of a run that somebody asked for
    missed     BIGINT NOT NULL DEFAULT 0,   -- earlier due times that this run stands for
    state      TEXT NOT NULL CHECK (state IN ('due', 'done', 'failed', 'skipped')),
    turn       TEXT NOT NULL DEFAULT '',
    error      TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    UNIQUE (duty, due_at),
    UNIQUE (duty, request)
);
