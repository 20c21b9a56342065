-- API keys end by themselves, and may be limited to projects or not. The table has had no writer before.
ALTER TABLE gateway.api_keys
    ADD COLUMN expires_at timestamptz,                -- none: not by itself
    ALTER COLUMN projects DROP DEFAULT,
    ALTER COLUMN projects DROP NOT NULL;              -- none: limited to none; empty: it sees nothing
