-- gateway.turns: the checkpoint of a running answer is its parts, so that who reads on from it sees the reasoning too.
-- `partial`, its text alone, is what gateways from before this write; it is read, and written no more.
ALTER TABLE gateway.turns ADD COLUMN partial_parts jsonb;
