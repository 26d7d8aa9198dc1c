-- +goose Up

-- credentials: secrets of the agent's own, one for each thing that it reaches.
CREATE TABLE credentials (
    workspace      TEXT NOT NULL,
    id             TEXT NOT NULL,
    connection     TEXT NOT NULL,
    name           TEXT NOT NULL,
    owner          TEXT NOT NULL,             -- the human who answers for it
    justification  TEXT NOT NULL,
    created_by     TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    revoked_by     TEXT NOT NULL DEFAULT '',
    revoked_at     BIGINT NOT NULL DEFAULT 0, -- 0: it stands
    last_used_at   BIGINT NOT NULL DEFAULT 0,
    last_denied_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX credentials_name ON credentials (workspace, connection, name) WHERE revoked_at = 0;

-- credential_versions: what is sealed. A destroyed one has no secret any more.
CREATE TABLE credential_versions (
    workspace    TEXT NOT NULL,
    credential   TEXT NOT NULL,
    version      BIGINT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'destroyed')),
    sealed       BLOB,
    created_by   TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT NOT NULL DEFAULT 0,
    retires_at   BIGINT NOT NULL DEFAULT 0,   -- of a retiring one: when it is destroyed
    destroyed_at BIGINT NOT NULL DEFAULT 0,
    expires_at   BIGINT NOT NULL DEFAULT 0,   -- 0: never
    warned       BIGINT NOT NULL DEFAULT -1,  -- days before the end of the newest warning; -1: none
    PRIMARY KEY (workspace, credential, version)
);
CREATE UNIQUE INDEX credential_versions_active ON credential_versions (workspace, credential) WHERE state = 'active';

-- credential_links: for somebody who holds a secret to hand it in, once.
CREATE TABLE credential_links (
    hash       TEXT PRIMARY KEY,              -- SHA-256 of the token, which is kept nowhere
    workspace  TEXT NOT NULL,
    credential TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0,
    used_by    TEXT NOT NULL DEFAULT ''
);
