DROP INDEX gateway.usage_by_day;
ALTER TABLE gateway.usage RESET (fillfactor);
ALTER TABLE gateway.usage DROP COLUMN refused, DROP COLUMN forks, DROP COLUMN sessions;
DROP INDEX gateway.users_by_quota;
ALTER TABLE gateway.users
    DROP COLUMN quota_set_at, DROP COLUMN sessions_in_all, DROP COLUMN sessions_per_day, DROP COLUMN tokens_per_day;
