-- +goose Up

-- budgets: what may be used in a day or a month, of calls, tokens or money.
CREATE TABLE budgets (
    workspace     TEXT   NOT NULL,
    scope         TEXT   NOT NULL, -- workspace, channel:C…, person:U…, duty:d_…; channel:*, person:* and duty:* for each that has none of its own
    unit          TEXT   NOT NULL CHECK (unit IN ('calls', 'tokens', 'money')),
    period        TEXT   NOT NULL CHECK (period IN ('day', 'month')),
    most          BIGINT NOT NULL, -- money in millionths
    set_by        TEXT   NOT NULL,
    set_at        BIGINT NOT NULL,
    justification TEXT   NOT NULL,
    PRIMARY KEY (workspace, scope, unit, period)
);

-- usage: what was used, in each day and month of the budgets' time zone.
CREATE TABLE usage (
    workspace TEXT   NOT NULL,
    scope     TEXT   NOT NULL, -- of one: never with *
    unit      TEXT   NOT NULL,
    period    TEXT   NOT NULL,
    begins    TEXT   NOT NULL, -- 2026-11-24 for a day, 2026-11 for a month
    used      BIGINT NOT NULL,
    warned    BIGINT NOT NULL DEFAULT 0, -- limit for which the admins were warned
    PRIMARY KEY (workspace, scope, unit, period, begins)
);
