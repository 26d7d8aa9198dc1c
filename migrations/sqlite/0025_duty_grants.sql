-- +goose Up

-- Grants that hold only for the runs of one duty, and approvals that tell which
-- duty asked.
ALTER TABLE grants ADD COLUMN duty TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN duty TEXT NOT NULL DEFAULT '';
