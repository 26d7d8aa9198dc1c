-- +goose Up

-- message_files: files of messages. Their text stands in messages, under the ts of
-- the message followed by "/", the file's id and, from the second part on, "/" and
-- the number of the part.
CREATE TABLE message_files (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    ts        TEXT NOT NULL,                -- of the message
    file      TEXT NOT NULL,                -- Slack's id
    name      TEXT NOT NULL,
    url       TEXT NOT NULL,                -- where the agent may read it; no secret by itself
    author    TEXT NOT NULL,                -- of the message
    state     TEXT NOT NULL CHECK (state IN ('wanted', 'read', 'named')), -- named: only its name is kept
    PRIMARY KEY (workspace, channel, ts, file)
);
CREATE INDEX message_files_wanted ON message_files (workspace, channel, ts) WHERE state = 'wanted';
