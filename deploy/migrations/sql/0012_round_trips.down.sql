DROP FUNCTION gateway.claim_turns(
    uuid[], text[], text[], text[], bytea[], text[], uuid[], text[], text[], text[], text[], text[], jsonb[], jsonb[],
    uuid[], text[], integer[], timestamptz[], integer);
DROP FUNCTION gateway.session_past(text[], text, text[], integer, integer, bigint, integer);
