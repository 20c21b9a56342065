-- As 0026 has it.
CREATE OR REPLACE FUNCTION chat.search_everywhere(query text, whole text, owners text[], sessions text[], most integer)
    RETURNS TABLE (user_id text, session_id text, message_id text, is_known boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = on
    SET jit = off
    AS $$
#variable_conflict use_column
DECLARE
    hides boolean := current_setting('app.hides', true) IS DISTINCT FROM 'no';
    asked text := query;                         -- of the index
    looked_at integer;
    having_them integer;
BEGIN
    IF whole IS NOT NULL THEN
        SELECT count(*), count(*) FILTER (WHERE few.terms @@ few.sought) INTO looked_at, having_them
        FROM (
            SELECT newest.terms, own.sought
            FROM unnest(owners, sessions) AS given (user_id, session_id)
            CROSS JOIN LATERAL (SELECT
                replace(whole, '{u}', left(encode(tripthread.user_hash(given.user_id), 'hex'), 6))::tsquery AS sought
                OFFSET 0) own
            CROSS JOIN LATERAL (SELECT x.terms FROM chat.search x
                WHERE x.user_id = given.user_id AND x.session_id = given.session_id
                ORDER BY x.message_id DESC LIMIT 10) newest
            WHERE given.user_id = ANY (tripthread.user_ids())
            LIMIT 300) few;
        IF having_them * 50 <= looked_at AND (SELECT count(*) < most FROM (
                SELECT FROM unnest(tripthread.user_ids()) AS mine (id)
                CROSS JOIN LATERAL (
                    SELECT x.user_id FROM chat.search x
                    WHERE x.terms @@ replace(whole, '{u}', left(encode(tripthread.user_hash(mine.id), 'hex'), 6))::tsquery
                    OFFSET 0) hit
                WHERE hit.user_id = mine.id LIMIT most) counted) THEN
            asked := whole;
        END IF;
    END IF;
    RETURN QUERY
    SELECT own.user_id, own.session_id, CASE WHEN bool_and(own.message_id IS NOT NULL) THEN max(own.message_id) END,
        sum(count(*)) OVER () < most
    FROM (
        -- OFFSET 0: by the words, whatever the planner takes a user for.
        SELECT hit.* FROM unnest(tripthread.user_ids()) AS mine (id)
        CROSS JOIN LATERAL (SELECT left(encode(tripthread.user_hash(mine.id), 'hex'), 6) AS key OFFSET 0) keyed
        CROSS JOIN LATERAL (
            SELECT x.user_id, x.session_id, x.message_id, x.since, x.terms FROM chat.search x
            WHERE x.terms @@ replace(asked, '{u}', keyed.key)::tsquery
            OFFSET 0) hit
        WHERE hit.user_id = mine.id AND NOT (hides AND tripthread.is_hidden(hit.user_id, hit.session_id, hit.since))
            AND (asked = query OR hit.terms @@ replace(query, '{u}', keyed.key)::tsquery)
        LIMIT most) own
    GROUP BY own.user_id, own.session_id;
END
$$;
