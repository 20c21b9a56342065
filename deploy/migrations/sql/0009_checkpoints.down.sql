ALTER TABLE gateway.turns DROP COLUMN partial_parts;
