-- +goose Up

-- What a run needs beside its due time: why it waits, what it stands for, how
-- often it was tried, what it took, and where its result is.
ALTER TABLE runs ADD COLUMN asked_by TEXT NOT NULL DEFAULT '';        -- who asked for it beside the schedule
ALTER TABLE runs ADD COLUMN dry INTEGER NOT NULL DEFAULT 0;           -- 1: it only says what it would do
ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';            -- what is told with its result
ALTER TABLE runs ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;     -- of one that waits for a time
ALTER TABLE runs ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;          -- how often it was handed on
ALTER TABLE runs ADD COLUMN stood_by TEXT NOT NULL DEFAULT '';        -- the run that stands for it
ALTER TABLE runs ADD COLUMN untold BIGINT NOT NULL DEFAULT 0;         -- times that it skipped and that no report has told of
ALTER TABLE runs ADD COLUMN said_in TEXT NOT NULL DEFAULT '';         -- channel of its result, and the ts there
ALTER TABLE runs ADD COLUMN said_at TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_untold ON runs (duty) WHERE untold > 0;
CREATE INDEX runs_stood ON runs (stood_by) WHERE stood_by <> '';
CREATE INDEX runs_said ON runs (said_in, said_at) WHERE said_at <> '';
-- The posts that began a thread, and turns at work in a channel: who says stop there
-- stops them.
CREATE INDEX outbox_said ON outbox (workspace, channel, ts) WHERE ts <> '';
CREATE INDEX turns_open ON turns (workspace, channel) WHERE state = 'running';

-- How many are due at one moment, so that a crowd is spread.
CREATE INDEX duties_next ON duties (next_at) WHERE state = 'active';
