-- +goose Up

-- What a search asks of each of thousands of rows before it scores them: where a
-- message was said, by whom, and whether it is there. The rows themselves are ten
-- times as wide. On PostgreSQL: an index on (id) INCLUDE (the others).
CREATE INDEX messages_reach ON messages (id, workspace, channel, author, gone_at);
