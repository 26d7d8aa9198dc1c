-- +goose Up

-- digests: up to when the weekly summaries of a workspace have told.
CREATE TABLE digests (
    workspace TEXT PRIMARY KEY,
    told_to   BIGINT NOT NULL
);
