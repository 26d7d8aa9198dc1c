-- +goose Up

-- ledger: one RFC 6962 tree per workspace. An entry is a leaf; what may have to
-- be erased stands beside it, and the leaf holds only its keyed HMAC. Nothing is
-- kept here that cannot be compared with the leaf, a hash or a signature.
CREATE TABLE ledger_entries (
    workspace TEXT NOT NULL,
    seq       BIGINT NOT NULL,      -- from 0, without gaps
    action    TEXT NOT NULL,        -- the action's key, as in the leaf; '' where there is none
    leaf      TEXT NOT NULL,        -- canonical JSON (RFC 8785): what is hashed
    hashes    BLOB NOT NULL,        -- of the leaf, then of each subtree that it completes, 32 bytes each
    PRIMARY KEY (workspace, seq)
) WITHOUT ROWID;
CREATE INDEX ledger_actions ON ledger_entries (workspace, action) WHERE action <> '';

CREATE TABLE ledger_payloads (
    workspace TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    name      TEXT NOT NULL,        -- args, result, …
    body      TEXT NOT NULL,
    PRIMARY KEY (workspace, seq, name)
) WITHOUT ROWID;

-- ledger_trees: the right edge of each tree, so that an append reads one row.
CREATE TABLE ledger_trees (
    workspace TEXT PRIMARY KEY,
    size      BIGINT NOT NULL,
    edge      BLOB NOT NULL         -- hashes of the complete subtrees, the largest first
) WITHOUT ROWID;

CREATE TABLE ledger_checkpoints (
    workspace TEXT NOT NULL,
    size      BIGINT NOT NULL,
    note      TEXT NOT NULL,        -- signed, C2SP tlog-checkpoint
    PRIMARY KEY (workspace, size)
) WITHOUT ROWID;

-- Against mistakes, not against attackers: those are what Verify is for.
-- +goose StatementBegin
CREATE TRIGGER ledger_entries_stay BEFORE UPDATE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_entries_remain BEFORE DELETE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_payloads_stay BEFORE UPDATE ON ledger_payloads BEGIN
    SELECT RAISE(ABORT, 'a text of the ledger can be erased, not changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_checkpoints_stay BEFORE UPDATE ON ledger_checkpoints BEGIN
    SELECT RAISE(ABORT, 'a checkpoint of the ledger is never changed');
END;
-- +goose StatementEnd
