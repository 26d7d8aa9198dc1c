-- +goose Up

-- duty_hits: what fits a watch and has not been made a run: it waits for a model's
-- yes or no, or for the duty's next free time of the hour. A row stays for a while
-- after it is done with, so that a redelivery is known.
CREATE TABLE duty_hits (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    duty    TEXT NOT NULL REFERENCES duties (id),
    request TEXT NOT NULL,              -- what happened: "message:C:ts"
    cause   TEXT NOT NULL,              -- as of a run, as JSON
    state   TEXT NOT NULL CHECK (state IN ('asked', 'waiting', 'done', 'no')), -- asked: of a model; waiting: for the next free time
    at      BIGINT NOT NULL,
    UNIQUE (duty, request)
);
CREATE INDEX duty_hits_open ON duty_hits (duty, state, id) WHERE state IN ('asked', 'waiting');
CREATE INDEX duty_hits_old ON duty_hits (duty, at);

-- Whether commitments of people are followed in a scope, where they ask for it.
ALTER TABLE memory_scopes ADD COLUMN follow INTEGER NOT NULL DEFAULT 0;
