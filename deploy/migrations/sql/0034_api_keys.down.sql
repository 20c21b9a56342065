UPDATE gateway.api_keys SET projects = '{}' WHERE projects IS NULL;
ALTER TABLE gateway.api_keys
    DROP COLUMN expires_at,
    ALTER COLUMN projects SET DEFAULT '{}',
    ALTER COLUMN projects SET NOT NULL;
