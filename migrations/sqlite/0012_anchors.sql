-- +goose Up

-- anchors: what each place outside the store has got of a ledger.
CREATE TABLE anchors (
    workspace   TEXT NOT NULL,
    sink        TEXT NOT NULL,
    size        BIGINT NOT NULL,            -- of the newest checkpoint that it took
    anchored_at BIGINT NOT NULL,            -- 0: never
    failed_at   BIGINT NOT NULL DEFAULT 0,  -- since when it does not take any; 0: it does
    error       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (workspace, sink)
);
