-- How much one user may do, where an administrator has said so, and how much they did on each day. A day is UTC's, by the
-- clock of the database.
ALTER TABLE gateway.users
    -- Each beside `turns_per_day`; none: the default of the settings.
    ADD COLUMN tokens_per_day bigint CHECK (tokens_per_day >= 0),
    ADD COLUMN sessions_per_day integer CHECK (sessions_per_day >= 0),
    ADD COLUMN sessions_in_all integer CHECK (sessions_in_all >= 0),
    ADD COLUMN quota_set_at timestamptz;         -- when any of the four was said last; none: never
-- Gateways ask for what is new every few seconds.
CREATE INDEX users_by_quota ON gateway.users (quota_set_at) WHERE quota_set_at IS NOT NULL;

ALTER TABLE gateway.usage
    ADD COLUMN sessions integer NOT NULL DEFAULT 0 CHECK (sessions >= 0),  -- that were begun
    ADD COLUMN forks text[] NOT NULL DEFAULT '{}',  -- those of them that are forks, of which a repeat counts nothing
    ADD COLUMN refused integer NOT NULL DEFAULT 0 CHECK (refused >= 0);  -- calls past a limit of whichever kind
-- A row is written again at each turn of its user, where they have a quota: so no index has to be.
ALTER TABLE gateway.usage SET (fillfactor = 70);
CREATE INDEX usage_by_day ON gateway.usage (day, user_id);
