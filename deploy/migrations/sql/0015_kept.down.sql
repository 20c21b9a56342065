DROP FUNCTION gateway.past_of_session(text[], text, text[], integer, integer, bigint, integer);
