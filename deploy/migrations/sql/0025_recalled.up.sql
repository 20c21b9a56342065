-- Turns of sessions that a gateway need not read, since it ran all that was said in them: the claim proves that it did.

-- Which of these sessions have more than their turns say: a message of none of them, as the system's note of a quote, or of
-- a fork that was stored late; or they were opened with another project or helper than the claim's.
--
-- As the owner of the tables, because a claim is the gateway's own login's, which reads nothing of others. So it tells
-- nothing but that, of sessions that its caller names.
CREATE FUNCTION gateway.with_more_than_turns(ids uuid[], users text[], sessions text[], projects text[], helpers text[])
    RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    AS $$
BEGIN
    RETURN QUERY
    SELECT given.id FROM unnest(ids, users, sessions, projects, helpers) AS given (id, user_id, session_id, project_id, helper)
    WHERE EXISTS (SELECT FROM chat.messages m
            WHERE m.user_id = given.user_id AND m.session_id = given.session_id
                -- Each by its key: a join might read all turns.
                AND (m.turn_id IS NULL OR NOT coalesce((SELECT t.user_id = m.user_id AND t.session_id = m.session_id
                    FROM gateway.turns t WHERE t.turn_id = m.turn_id), false)))
        OR EXISTS (SELECT FROM gateway.session_openings o
            WHERE o.user_id = given.user_id AND o.session_id = given.session_id
                AND (o.opening ->> 'project_id' <> coalesce(given.project_id, '')
                    OR o.opening ->> 'helper' <> coalesce(given.helper, '')));
END
$$;
REVOKE ALL ON FUNCTION gateway.with_more_than_turns FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.with_more_than_turns TO tripthread_gateway;

-- `begin_turns` of 0015 for gateways that may not have read the session (`recalled`): then a claimant is stale, too, where
-- the newest turn is not the one it knows, or there is more than turns say. That one is for gateways of the release before.
CREATE FUNCTION gateway.take_turns(
    ids uuid[], users text[], sessions text[], keys text[], body_hashes bytea[], owners text[], correlation_ids uuid[],
    traceparents text[], models text[], providers text[], projects text[], helpers text[], questions jsonb[],
    known_ats jsonb[], nonces uuid[], states text[], messages integer[], known_untils timestamptz[],
    remembers_from timestamptz[], recalled boolean[], lease_s integer
) RETURNS TABLE (id uuid, is_stale boolean, turn gateway.turns)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    claimed gateway.turns[];
    more uuid[];
    stale uuid[];
BEGIN
    WITH inserted AS (
        INSERT INTO gateway.turns AS t (turn_id, user_id, session_id, idempotency_key, body_hash, owner,
            correlation_id, traceparent, model, provider, project_id, helper, question, known_at, nonce, state,
            lease_until, asked_at)
        SELECT c.turn_id, c.user_id, c.session_id, c.key, c.body_hash, c.owner, c.correlation_id, c.traceparent,
            c.model, c.provider, c.project_id, c.helper, c.question, c.known_at, c.nonce, c.state,
            clock_timestamp() + make_interval(secs => lease_s),
            greatest(clock_timestamp(), (
                SELECT max(before.place) + c.messages * interval '1 microsecond'
                FROM gateway.turns before
                WHERE before.user_id = c.user_id AND before.session_id = c.session_id))
        FROM unnest(ids, users, sessions, keys, body_hashes, owners, correlation_ids, traceparents, models, providers,
            projects, helpers, questions, known_ats, nonces, states, messages)
            AS c (turn_id, user_id, session_id, key, body_hash, owner, correlation_id, traceparent, model, provider,
                project_id, helper, question, known_at, nonce, state, messages)
        WHERE NOT EXISTS (  -- `is_gone`, written out: to call it would take five times as long
                SELECT FROM gateway.deletions d WHERE d.user_id = c.user_id AND d.session_id = c.session_id)
            AND NOT EXISTS (SELECT FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(c.user_id) AND e.done_at IS NULL
                    AND e.erased_at >= (SELECT min(o.asked_at) FROM gateway.turns o
                        WHERE o.user_id = c.user_id AND o.session_id = c.session_id))
        ORDER BY c.user_id, c.session_id
        ON CONFLICT DO NOTHING
        RETURNING t AS row
    )
    SELECT array_agg(row) INTO claimed FROM inserted;

    IF true = ANY (recalled) THEN
        more := ARRAY(SELECT * FROM gateway.with_more_than_turns(ids, users, sessions, projects, helpers));
    END IF;

    WITH deleted AS (
        DELETE FROM gateway.turns t
        USING unnest(ids, known_untils, remembers_from, recalled) AS c (id, known_until, remembered, is_recalled)
        WHERE t.turn_id = c.id AND t.turn_id IN (SELECT turn_id FROM unnest(claimed))
            AND (coalesce(c.known_until, '-infinity') < (
                SELECT max(other.place) FROM gateway.turns other
                WHERE other.user_id = t.user_id AND other.session_id = t.session_id AND other.turn_id <> t.turn_id)
            OR EXISTS (SELECT FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(t.user_id) AND e.erased_at >= c.remembered)
            OR (c.is_recalled AND (c.id = ANY (more) OR NOT EXISTS (SELECT FROM gateway.turns other
                WHERE other.user_id = t.user_id AND other.session_id = t.session_id AND other.place = c.known_until))))
        RETURNING t.turn_id
    )
    SELECT array_agg(turn_id) INTO stale FROM deleted;

    RETURN QUERY SELECT c.turn_id, coalesce(c.turn_id = ANY (stale), false), c FROM unnest(claimed) AS c;
END
$$;
REVOKE ALL ON FUNCTION gateway.take_turns FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.take_turns TO tripthread_gateway;
