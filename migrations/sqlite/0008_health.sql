-- +goose Up

-- health: one row that /readyz writes, because only a write shows that writing works.
CREATE TABLE health (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at BIGINT NOT NULL
);
