DROP FUNCTION gateway.session_past(text[], text, text[], integer, integer, bigint, integer);
