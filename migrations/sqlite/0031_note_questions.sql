-- +goose Up

-- note_questions: notes that are not kept yet, because they say otherwise than one
-- that is, until somebody says which holds: then the row goes.
CREATE TABLE note_questions (
    id         TEXT PRIMARY KEY,
    workspace  TEXT NOT NULL,
    channel    TEXT NOT NULL,               -- where it is asked
    thread     TEXT NOT NULL,
    against    TEXT NOT NULL,               -- id of the note that says otherwise
    scope      TEXT NOT NULL,               -- that the new note would get
    text       TEXT NOT NULL,
    author     TEXT NOT NULL,
    source     TEXT NOT NULL,               -- channel that it was said in
    ts         TEXT NOT NULL,
    permalink  TEXT NOT NULL,
    label      TEXT NOT NULL,
    own        INTEGER NOT NULL,
    expires_at BIGINT NOT NULL,             -- of the note
    asked_by   TEXT NOT NULL,
    asked_at   BIGINT NOT NULL,
    ledger_seq BIGINT NOT NULL              -- entry that holds the text
);
CREATE INDEX note_questions_place ON note_questions (workspace, channel, thread, asked_at);
CREATE INDEX note_questions_against ON note_questions (against);
