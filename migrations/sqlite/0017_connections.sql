-- +goose Up

-- connections: the systems that the agent can reach. accepted is what an admin has
-- looked at and accepted: the tools and instructions that the model sees, as JSON.
-- seen is what the system showed last, where that is something else; each has its
-- hash. version grows with every change of spec, state or acceptance.
CREATE TABLE connections (
    workspace    TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('mcp', 'http')),
    spec         TEXT    NOT NULL, -- YAML, without secrets
    state        TEXT    NOT NULL CHECK (state IN ('new', 'active', 'quarantined')),
    reason       TEXT    NOT NULL DEFAULT '',
    server       TEXT    NOT NULL DEFAULT '', -- name and version that it gives itself
    accepted     TEXT    NOT NULL DEFAULT '',
    pin          TEXT    NOT NULL DEFAULT '',
    seen         TEXT    NOT NULL DEFAULT '',
    seen_pin     TEXT    NOT NULL DEFAULT '',
    version      BIGINT NOT NULL DEFAULT 1,
    added_by     TEXT    NOT NULL,
    added_at     BIGINT NOT NULL,
    accepted_by  TEXT    NOT NULL DEFAULT '',
    accepted_at  BIGINT NOT NULL DEFAULT 0,
    changed_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
);

-- connection_results: whole results that were too long for a model, for a while.
CREATE TABLE connection_results (
    workspace  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    thread     TEXT    NOT NULL, -- key of the thread that may read it
    tool       TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (workspace, id)
);
CREATE INDEX connection_results_age ON connection_results (created_at);
