-- +goose Up

-- ledger: one RFC 6962 tree per workspace. An entry is a leaf; what may have to
-- be erased stands beside it, and the leaf holds only its keyed HMAC.
CREATE TABLE ledger_entries (
    workspace TEXT NOT NULL,
    seq       BIGINT NOT NULL,      -- from 0, without gaps
    at        BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    action    TEXT NOT NULL,        -- the action's key, '' where there is none
    leaf      TEXT NOT NULL,        -- canonical JSON: what is hashed
    PRIMARY KEY (workspace, seq)
);
CREATE INDEX ledger_actions ON ledger_entries (workspace, action) WHERE action <> '';

CREATE TABLE ledger_payloads (
    workspace TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    name      TEXT NOT NULL,        -- args, result, …
    body      TEXT NOT NULL,
    PRIMARY KEY (workspace, seq, name)
);

-- Stored hashes of the tree, numbered as golang.org/x/mod/sumdb/tlog does.
CREATE TABLE ledger_hashes (
    workspace TEXT NOT NULL,
    n         BIGINT NOT NULL,
    hash      BLOB NOT NULL,
    PRIMARY KEY (workspace, n)
);

CREATE TABLE ledger_sizes (
    workspace TEXT PRIMARY KEY,
    size      BIGINT NOT NULL
);

CREATE TABLE ledger_checkpoints (
    workspace TEXT NOT NULL,
    size      BIGINT NOT NULL,
    note      TEXT NOT NULL,        -- signed, C2SP tlog-checkpoint
    at        BIGINT NOT NULL,
    PRIMARY KEY (workspace, size)
);
