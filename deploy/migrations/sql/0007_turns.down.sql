CREATE INDEX turns_running ON gateway.turns (lease_until) WHERE state = 'running';
CREATE INDEX turns_of_session ON gateway.turns (user_id, session_id, asked_at DESC);
DROP INDEX gateway.turns_by_place;
ALTER TABLE gateway.turns DROP COLUMN place, DROP COLUMN known_at, DROP COLUMN nonce;
ALTER TABLE gateway.turns RESET (fillfactor);
