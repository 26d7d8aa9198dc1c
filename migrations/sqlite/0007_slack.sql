-- +goose Up

-- slack_seen: until when everything that Slack said was heard; what came later
-- is read from Slack after the next start.
CREATE TABLE slack_seen (
    workspace TEXT PRIMARY KEY,
    heard_at  BIGINT NOT NULL
);
