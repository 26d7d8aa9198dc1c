-- +goose Up

-- What is known of those who answer for an agent.
ALTER TABLE agents ADD COLUMN sponsor_lost_at BIGINT NOT NULL DEFAULT 0;  -- since when nobody does; 0: somebody does, or nobody has looked yet
ALTER TABLE agents ADD COLUMN sponsor_until BIGINT NOT NULL DEFAULT 0;    -- when the agent is suspended for it
ALTER TABLE agents ADD COLUMN sponsor_reminded BIGINT NOT NULL DEFAULT 0; -- reminders that are behind
ALTER TABLE agents ADD COLUMN sponsors_away TEXT NOT NULL DEFAULT '';     -- ids of sponsors who were not active full members at the last look

-- reviews: looks of humans at all standing grants. A workspace has one at a time.
CREATE TABLE reviews (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('open', 'done')),
    started_by TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    idle       BIGINT NOT NULL,            -- microseconds without use after which removal is proposed
    due_at     BIGINT NOT NULL,            -- what has no answer by then is removed
    remind_at  BIGINT NOT NULL,            -- 0: reminded
    ended_at   BIGINT NOT NULL DEFAULT 0,
    asked      BIGINT NOT NULL DEFAULT 0,  -- 1: the cards are owed
    told       BIGINT NOT NULL DEFAULT 0   -- 1: the summary is owed
);
CREATE UNIQUE INDEX reviews_open ON reviews (workspace) WHERE state = 'open';
CREATE INDEX reviews_started ON reviews (workspace, started_at);

-- review_items: the grants of a review.
CREATE TABLE review_items (
    review       TEXT NOT NULL REFERENCES reviews (id),
    grant_id     TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('standing', 'proposed', 'kept', 'removed', 'expired', 'gone')),
    last_used_at BIGINT NOT NULL,           -- as it was when the review began
    loss         TEXT NOT NULL,             -- JSON list: tools that no other grant covers
    answered_by  TEXT NOT NULL DEFAULT '',
    answered_at  BIGINT NOT NULL DEFAULT 0,
    why          TEXT NOT NULL DEFAULT '',
    shown        TEXT NOT NULL DEFAULT '',  -- state that its card shows; '' for no card
    PRIMARY KEY (review, grant_id)
) WITHOUT ROWID;
