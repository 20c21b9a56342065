DELETE FROM gateway.turns WHERE state = 'posted' AND stored_at IS NOT NULL;
DROP INDEX gateway.turns_to_trim, gateway.turns_unstored;
CREATE INDEX turns_by_time ON gateway.turns (user_id, asked_at DESC);
ALTER TABLE gateway.turns
    DROP CONSTRAINT turns_state_check,
    DROP CONSTRAINT turns_check,
    ADD CONSTRAINT turns_state_check CHECK (state IN ('running', 'complete', 'stopped', 'interrupted', 'failed')),
    ADD CONSTRAINT turns_check CHECK ((state = 'running') = (answer IS NULL));
ALTER TABLE gateway.turns DROP COLUMN taken, DROP COLUMN past, DROP COLUMN retold_at, DROP COLUMN stored_at;
