DROP FUNCTION gateway.take_turns;
DROP FUNCTION gateway.with_more_than_turns;
