-- +goose Up

-- homes: what somebody has chosen in the agent's App Home, and what was published
-- there last. Its content is not kept.
CREATE TABLE homes (
    workspace TEXT NOT NULL,
    person    TEXT NOT NULL,
    channel   TEXT NOT NULL DEFAULT '',     -- whose notes are listed; '' for none
    more      TEXT NOT NULL DEFAULT '',     -- ids of the sections shown in full, separated by spaces
    told      TEXT NOT NULL DEFAULT '',     -- what came of their last press, in words of ours
    digest    TEXT NOT NULL DEFAULT '',     -- of the blocks published last
    PRIMARY KEY (workspace, person)
) WITHOUT ROWID;
