DROP FUNCTION gateway.past_with_opening(text[], text, text[], integer, integer, bigint, integer);
