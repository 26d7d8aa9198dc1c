-- +goose Up

-- channels and people: what Slack says about them, as of fetched_at. What may be
-- shown where follows these rows at the moment of asking, not what was true when
-- something was said.
CREATE TABLE channels (
    workspace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('public', 'private', 'shared', 'im', 'mpim')),
    is_member   INTEGER NOT NULL,           -- the agent is in it
    is_archived INTEGER NOT NULL,
    members_at  BIGINT NOT NULL DEFAULT 0,  -- when channel_members was fetched; 0: never
    fetched_at  BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);

-- channel_members: who is in a channel, complete as of channels.members_at.
CREATE TABLE channel_members (
    workspace TEXT NOT NULL,
    channel   TEXT NOT NULL,
    person    TEXT NOT NULL,
    PRIMARY KEY (workspace, channel, person)
);

CREATE TABLE people (
    workspace  TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    real_name  TEXT NOT NULL,
    tz         TEXT NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('member', 'guest', 'outsider', 'bot')),
    is_admin   INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL,
    fetched_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);

-- people_names: the lower-cased names that a person answers to: display name,
-- real name, and each word of both.
CREATE TABLE people_names (
    workspace TEXT NOT NULL,
    name      TEXT NOT NULL,
    person    TEXT NOT NULL,
    is_whole  INTEGER NOT NULL,             -- a full name, not a word of one
    PRIMARY KEY (workspace, name, person)
);
CREATE INDEX people_names_person ON people_names (workspace, person);

-- messages of the threads that the agent takes part in. A message that was
-- deleted or forgotten leaves its row without text, so that a late delivery
-- cannot bring it back.
CREATE TABLE messages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace  TEXT NOT NULL,
    channel    TEXT NOT NULL,
    thread     TEXT NOT NULL,               -- ts of the root; '' in a flat direct message
    ts         TEXT NOT NULL,
    author     TEXT NOT NULL,
    text       TEXT NOT NULL,
    permalink  TEXT NOT NULL,
    edited_ts  TEXT NOT NULL DEFAULT '',    -- of the newest edit seen
    gone_at    BIGINT NOT NULL DEFAULT 0,   -- 0: there
    said_at    BIGINT NOT NULL,             -- ts as a time
    UNIQUE (workspace, channel, ts)
);
CREATE INDEX messages_thread ON messages (workspace, channel, thread, ts);
CREATE INDEX messages_author ON messages (workspace, author, channel);

CREATE TABLE notes (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    workspace     TEXT NOT NULL,
    scope         TEXT NOT NULL,            -- workspace, channel:C…, dm:D…
    place         TEXT NOT NULL,            -- the channel of scope; '' for workspace
    text          TEXT NOT NULL,
    digest        TEXT NOT NULL,            -- of the text without case and spacing, to find the same note again
    author        TEXT NOT NULL,            -- of the current version
    channel       TEXT NOT NULL,            -- source: where it was said
    ts            TEXT NOT NULL,
    permalink     TEXT NOT NULL,
    version       BIGINT NOT NULL DEFAULT 1,
    superseded_by TEXT NOT NULL DEFAULT '', -- id of the note that took its place
    ledger_seq    BIGINT NOT NULL,          -- entry of the current version
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL DEFAULT 0 -- 0: never
);
CREATE UNIQUE INDEX notes_same ON notes (workspace, scope, digest) WHERE superseded_by = '';
CREATE INDEX notes_place ON notes (workspace, place);
CREATE INDEX notes_superseded ON notes (superseded_by) WHERE superseded_by <> '';

-- note_versions: what a note said before it was corrected.
CREATE TABLE note_versions (
    note       TEXT NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    text       TEXT NOT NULL,
    author     TEXT NOT NULL,
    ledger_seq BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (note, version)
);

-- memory_index: one full-text index over both, so that their scores compare.
-- It holds words, not texts. rowid is messages.id, or notes.seq + 2^40: notes are
-- one range, and the first in descending order, which a search of frequent words
-- goes by.
CREATE VIRTUAL TABLE memory_index USING fts5 (text, content = '', tokenize = 'porter unicode61 remove_diacritics 2');
-- A deleted entry is cut out of the index, not only marked.
INSERT INTO memory_index (memory_index, rank) VALUES ('secure-delete', 1);

-- +goose StatementBegin
CREATE TRIGGER messages_said AFTER INSERT ON messages WHEN new.text <> '' BEGIN
    INSERT INTO memory_index (rowid, text) VALUES (new.id, new.text);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER messages_changed AFTER UPDATE OF text ON messages WHEN new.text <> old.text BEGIN
    INSERT INTO memory_index (memory_index, rowid, text) SELECT 'delete', old.id, old.text WHERE old.text <> '';
    INSERT INTO memory_index (rowid, text) SELECT new.id, new.text WHERE new.text <> '';
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER messages_removed AFTER DELETE ON messages WHEN old.text <> '' BEGIN
    INSERT INTO memory_index (memory_index, rowid, text) VALUES ('delete', old.id, old.text);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER notes_written AFTER INSERT ON notes BEGIN
    INSERT INTO memory_index (rowid, text) VALUES (new.seq + 1099511627776, new.text);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER notes_changed AFTER UPDATE OF text ON notes WHEN new.text <> old.text BEGIN
    INSERT INTO memory_index (memory_index, rowid, text) VALUES ('delete', old.seq + 1099511627776, old.text);
    INSERT INTO memory_index (rowid, text) VALUES (new.seq + 1099511627776, new.text);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER notes_removed AFTER DELETE ON notes BEGIN
    INSERT INTO memory_index (memory_index, rowid, text) VALUES ('delete', old.seq + 1099511627776, old.text);
END;
-- +goose StatementEnd
