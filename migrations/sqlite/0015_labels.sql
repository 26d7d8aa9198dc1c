-- +goose Up

-- The places that are not open to all and from which something went into what an
-- approval would let out: only who can read them may approve. JSON list.
ALTER TABLE approvals ADD COLUMN sources TEXT NOT NULL DEFAULT '[]';

-- What went into a turn, as JSON, once it has ended: what it said carries that on.
ALTER TABLE turns ADD COLUMN label TEXT NOT NULL DEFAULT '';
