-- +goose Up

-- grants: what the agent may do, one permission each. A row never changes its
-- meaning: it is added and revoked; only those that come with the installation
-- gain tools. Lists are JSON.
CREATE TABLE grants (
    workspace     TEXT NOT NULL,
    id            TEXT NOT NULL,
    effect        TEXT NOT NULL CHECK (effect IN ('allow', 'ask', 'deny')),
    tools         TEXT NOT NULL,             -- names
    bundle        TEXT NOT NULL DEFAULT '',  -- its tools, where there are none here
    scope         TEXT NOT NULL,
    thread        TEXT NOT NULL DEFAULT '',
    who           TEXT NOT NULL,
    args          TEXT NOT NULL,             -- rules for arguments
    hours         TEXT NOT NULL DEFAULT '',
    rate          BIGINT NOT NULL DEFAULT 0, -- uses in any rate_window; 0 is no limit
    rate_window   BIGINT NOT NULL DEFAULT 0, -- microseconds
    most_uses     BIGINT NOT NULL DEFAULT 0, -- uses in all; 0 is no limit
    approvers     TEXT NOT NULL,
    quorum        BIGINT NOT NULL DEFAULT 0,
    ttl           BIGINT NOT NULL DEFAULT 0, -- microseconds
    expires_at    BIGINT NOT NULL DEFAULT 0, -- 0: never, which only comes with the installation
    justification TEXT NOT NULL,
    long_why      TEXT NOT NULL DEFAULT '',
    granted_by    TEXT NOT NULL,
    granted_at    BIGINT NOT NULL,
    revoked_by    TEXT NOT NULL DEFAULT '',
    revoked_at    BIGINT NOT NULL DEFAULT 0,
    revoked_why   TEXT NOT NULL DEFAULT '',
    last_used_at  BIGINT NOT NULL DEFAULT 0, -- to about a minute
    uses          BIGINT NOT NULL DEFAULT 0, -- of a grant with a limit
    PRIMARY KEY (workspace, id)
) WITHOUT ROWID;
CREATE INDEX grants_live ON grants (workspace, revoked_at);

-- grant_uses: the uses that count for a rate, as long as they do.
CREATE TABLE grant_uses (
    workspace TEXT NOT NULL,
    grant_id  TEXT NOT NULL,
    used_at   BIGINT NOT NULL,
    use       BIGINT NOT NULL, -- the how manieth of the grant
    PRIMARY KEY (workspace, grant_id, used_at, use)
) WITHOUT ROWID;

-- bundles: named sets of tools with instructions, attached to scopes.
CREATE TABLE bundles (
    workspace    TEXT NOT NULL,
    name         TEXT NOT NULL,
    instructions TEXT NOT NULL DEFAULT '',
    tools        TEXT NOT NULL, -- JSON
    scopes       TEXT NOT NULL, -- JSON
    changed_by   TEXT NOT NULL,
    changed_at   BIGINT NOT NULL,
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;

-- builtin_tools: the tools that came with the installation.
CREATE TABLE builtin_tools (
    workspace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    connection TEXT NOT NULL,
    class      TEXT NOT NULL,
    guests     BIGINT NOT NULL, -- 1: guests and outsiders may ask for it, in the place itself
    PRIMARY KEY (workspace, name)
) WITHOUT ROWID;

-- policy_versions: counts the changes of what decides, so that every process
-- sees that what it has compiled is old.
CREATE TABLE policy_versions (
    workspace TEXT PRIMARY KEY,
    version   BIGINT NOT NULL
);
