ALTER TABLE gateway.turns DROP COLUMN nonce;
