-- +goose Up

-- turn_erasures: turns that were under way when something they tell of was
-- forgotten, to be erased once they have ended and what they owe is sent.
CREATE TABLE turn_erasures (
    turn      TEXT PRIMARY KEY,
    workspace TEXT NOT NULL
);
