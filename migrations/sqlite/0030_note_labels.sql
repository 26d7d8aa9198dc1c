-- +goose Up

-- What went into a note, as JSON: '' for nothing that restricts.
ALTER TABLE notes ADD COLUMN label TEXT NOT NULL DEFAULT '';
-- The agent made it by its own judgement; nobody asked.
ALTER TABLE notes ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
-- Since when it is no longer true.
ALTER TABLE notes ADD COLUMN superseded_at BIGINT NOT NULL DEFAULT 0;
UPDATE notes SET superseded_at = updated_at WHERE superseded_by <> '';

-- The agent may make notes by its own judgement in a scope.
ALTER TABLE memory_scopes ADD COLUMN judge INTEGER NOT NULL DEFAULT 0;
