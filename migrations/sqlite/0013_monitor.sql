-- +goose Up

-- monitor_positions: how far the monitor has read each ledger, and the statistics
-- that it has of what it read. They can be had again from the ledger.
CREATE TABLE monitor_positions (
    workspace  TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,             -- number of the next entry to read
    form       TEXT NOT NULL,               -- of the statistics: of another form they are made anew
    state      TEXT NOT NULL,               -- JSON
    gap        TEXT NOT NULL DEFAULT '',    -- what is missing of the ledger, until a human accepts it
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

-- monitor_findings: what was noticed, once for each detector, subject and span.
CREATE TABLE monitor_findings (
    workspace TEXT NOT NULL,
    detector  TEXT NOT NULL,
    subject   TEXT NOT NULL,
    span      BIGINT NOT NULL,              -- number of the span of time, 0 where the subject says it all
    seq       BIGINT NOT NULL,              -- its entry in the ledger, monitor.finding
    response  TEXT NOT NULL CHECK (response IN ('none', 'ask', 'throttle', 'stop', 'suspend')),
    turn      TEXT NOT NULL,
    channel   TEXT NOT NULL,
    action    TEXT NOT NULL,                -- the action's key, '' where it is not about one
    tool      TEXT NOT NULL,
    requester TEXT NOT NULL,
    text      TEXT NOT NULL,                -- for people
    amount    DOUBLE PRECISION NOT NULL,    -- what was counted
    threshold DOUBLE PRECISION NOT NULL,
    at        BIGINT NOT NULL,
    told_at   BIGINT NOT NULL DEFAULT 0,    -- 0: the admin channel does not know yet
    PRIMARY KEY (workspace, detector, subject, span)
);
CREATE INDEX monitor_findings_seq ON monitor_findings (workspace, seq);
