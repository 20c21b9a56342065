DROP FUNCTION gateway.take_turns_within, gateway.uncount, gateway.count_against, gateway.sessions_of;
ALTER TABLE gateway.turns DROP COLUMN counted;
