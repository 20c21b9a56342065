-- Quotas: turns, tokens and sessions are counted in gateway.usage by the statements that claim and finish a turn, where whoever
-- asks has a quota. Claims of nobody who has one go by `take_turns` as before, and count nothing here.
--
-- A quota is jsonb, as `services/gateway/account/limits/counting.py` makes it:
--   {by, with: [..], begins, turns_per_day, tokens_per_day, sessions_per_day, sessions_in_all, address: {by, with, ..}}
-- `by` is the user whose row counts, `with` all whose rows count against the quota: the same, visitors whom they were, and what
-- was counted before an erasure. `address`: of a visitor, what all of one address may. `begins`: the claim begins a session.

ALTER TABLE gateway.turns
    ADD COLUMN counted jsonb;  -- {by: [users of gateway.usage], day, turns, sessions}; none: it was counted nowhere

-- How many sessions these users have, this one aside: stored ones, those that are not stored yet, and forks that were counted.
-- Those that were only reserved are none. Where there are `most`, nobody looks further.
--
-- As the owner of the tables, because the gateway's own login reads nothing of others; it tells a number of its caller's users.
CREATE FUNCTION gateway.sessions_of(users text[], besides text, most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    AS $$
DECLARE
    stored bigint;
    others bigint;
BEGIN
    SELECT count(*) INTO stored FROM (
        SELECT FROM chat.sessions s
        WHERE s.user_id = ANY (users) AND s.deleted_at IS NULL AND s.session_id <> besides
            AND NOT EXISTS (SELECT FROM gateway.deletions d
                WHERE d.user_id = s.user_id AND d.session_id = s.session_id AND d.settled_at IS NULL)
        LIMIT most) AS each;
    IF stored >= most THEN
        RETURN stored;
    END IF;
    SELECT count(*) INTO others FROM (
        SELECT t.user_id, t.session_id FROM gateway.turns t WHERE t.user_id = ANY (users) AND t.stored_at IS NULL
        UNION
        SELECT o.user_id, o.session_id FROM gateway.session_openings o WHERE o.user_id = ANY (users)
        UNION
        SELECT u.user_id, fork FROM gateway.usage u, unnest(u.forks) AS fork
        WHERE u.user_id = ANY (users) AND u.day >= (clock_timestamp() AT TIME ZONE 'UTC')::date - 1
    ) AS unstored
    WHERE unstored.session_id <> besides
        AND NOT EXISTS (SELECT FROM chat.sessions s
            WHERE s.user_id = unstored.user_id AND s.session_id = unstored.session_id)
        AND NOT EXISTS (SELECT FROM gateway.deletions d
            WHERE d.user_id = unstored.user_id AND d.session_id = unstored.session_id);
    RETURN stored + others;
END
$$;
REVOKE ALL ON FUNCTION gateway.sessions_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.sessions_of TO tripthread_gateway;

-- Count so many turns and sessions of this day for whom a quota names, where all of them may be had; else say which kind is used
-- up. Who is counted at the same time elsewhere waits at the row, and each query here sees what was committed before it: so
-- nobody passes a quota by asking in many places at once. A fork that was counted is not counted again.
CREATE FUNCTION gateway.count_against(quota jsonb, today date, turns integer, sessions integer, session text, is_fork boolean)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
DECLARE
    those text[] := array_remove(ARRAY[quota ->> 'by', quota #>> '{address,by}'], NULL);
    own jsonb;
    their text[];
    used record;
BEGIN
    INSERT INTO gateway.usage (user_id, day) SELECT id, today FROM unnest(those) AS id ORDER BY id ON CONFLICT DO NOTHING;
    PERFORM FROM gateway.usage u WHERE u.user_id = ANY (those) AND u.day = today ORDER BY u.user_id FOR UPDATE;
    IF is_fork AND EXISTS (SELECT FROM gateway.usage u
            WHERE u.user_id = those[1] AND u.day >= today - 1 AND session = ANY (u.forks)) THEN
        RETURN NULL;
    END IF;
    FOR own IN SELECT each FROM unnest(ARRAY[quota, quota -> 'address']) AS each WHERE each IS NOT NULL LOOP
        their := ARRAY(SELECT jsonb_array_elements_text(own -> 'with'));
        SELECT coalesce(sum(u.turns), 0) AS turns, coalesce(sum(u.input_tokens + u.output_tokens), 0) AS tokens,
            coalesce(sum(u.sessions), 0) AS sessions
        INTO used FROM gateway.usage u WHERE u.user_id = ANY (their) AND u.day = today;
        IF turns > 0 AND used.turns + turns > (own ->> 'turns_per_day')::bigint THEN
            RETURN coalesce(own ->> 'prefix', '') || 'turns_per_day';
        ELSIF turns > 0 AND used.tokens >= (own ->> 'tokens_per_day')::bigint THEN
            RETURN coalesce(own ->> 'prefix', '') || 'tokens_per_day';
        ELSIF sessions > 0 AND used.sessions + sessions > (own ->> 'sessions_per_day')::bigint THEN
            RETURN coalesce(own ->> 'prefix', '') || 'sessions_per_day';
        ELSIF sessions > 0 AND own ->> 'sessions_in_all' IS NOT NULL AND gateway.sessions_of(
                their, session, (own ->> 'sessions_in_all')::bigint) + sessions > (own ->> 'sessions_in_all')::bigint THEN
            RETURN coalesce(own ->> 'prefix', '') || 'sessions_in_all';
        END IF;
    END LOOP;
    UPDATE gateway.usage u SET turns = u.turns + count_against.turns, sessions = u.sessions + count_against.sessions,
        forks = CASE WHEN is_fork AND u.user_id = those[1] THEN u.forks || session ELSE u.forks END
    WHERE u.user_id = ANY (those) AND u.day = today;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION gateway.count_against FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.count_against TO tripthread_gateway;

-- Take back what was counted of what nobody accepted, in the end.
CREATE FUNCTION gateway.uncount(counted jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE gateway.usage u SET turns = greatest(0, u.turns - (counted ->> 'turns')::integer),
        sessions = greatest(0, u.sessions - (counted ->> 'sessions')::integer),
        forks = array_remove(u.forks, counted ->> 'fork')
    WHERE u.user_id IN (SELECT jsonb_array_elements_text(counted -> 'by')) AND u.day = (counted ->> 'day')::date
    $$;
REVOKE ALL ON FUNCTION gateway.uncount FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.uncount TO tripthread_gateway;

-- `take_turns` for claims of which some have a quota: what is used up is taken back at once, and said of which kind it is.
CREATE FUNCTION gateway.take_turns_within(
    ids uuid[], users text[], sessions text[], keys text[], body_hashes bytea[], owners text[], correlation_ids uuid[],
    traceparents text[], models text[], providers text[], projects text[], helpers text[], questions jsonb[],
    known_ats jsonb[], nonces uuid[], states text[], messages integer[], known_untils timestamptz[],
    remembers_from timestamptz[], recalled boolean[], lease_s integer, quotas jsonb[]
) RETURNS TABLE (id uuid, is_stale boolean, used_up text, next_day timestamptz, turn gateway.turns)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    one record;
    is_turn integer;
    begins integer;
BEGIN
    next_day := (today + 1)::timestamp AT TIME ZONE 'UTC';
    FOR one IN
        WITH taken AS MATERIALIZED (
            SELECT t.id, t.is_stale, t.turn, c.quota
            FROM gateway.take_turns(ids, users, sessions, keys, body_hashes, owners, correlation_ids, traceparents, models,
                providers, projects, helpers, questions, known_ats, nonces, states, messages, known_untils,
                remembers_from, recalled, lease_s) AS t
            JOIN unnest(ids, quotas) AS c (id, quota) ON c.id = t.id
        ), rows AS (  -- all at once and in one order, or two groups might wait for each other
            INSERT INTO gateway.usage AS u (user_id, day)
            SELECT DISTINCT by, today FROM taken, unnest(ARRAY[quota ->> 'by', quota #>> '{address,by}']) AS by
            WHERE NOT is_stale AND by IS NOT NULL ORDER BY by
            ON CONFLICT (user_id, day) DO UPDATE SET turns = u.turns
            RETURNING 1
        )
        SELECT taken.*, (SELECT count(*) FROM rows) FROM taken ORDER BY quota ->> 'by', taken.id
    LOOP
        id := one.id;
        is_stale := one.is_stale;
        turn := one.turn;
        used_up := NULL;
        IF NOT is_stale AND one.quota IS NOT NULL THEN
            is_turn := ((turn).state = 'running')::integer;
            begins := coalesce((one.quota ->> 'begins')::boolean, false)::integer;
            used_up := gateway.count_against(one.quota, today, is_turn, begins, (turn).session_id, false);
            IF used_up IS NOT NULL THEN
                DELETE FROM gateway.turns t WHERE t.turn_id = one.id;
            ELSE
                UPDATE gateway.turns t SET counted = jsonb_build_object(
                    'by', array_remove(ARRAY[one.quota ->> 'by', one.quota #>> '{address,by}'], NULL),
                    'day', today, 'turns', is_turn, 'sessions', begins)
                WHERE t.turn_id = one.id RETURNING t.* INTO turn;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION gateway.take_turns_within FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.take_turns_within TO tripthread_gateway;
