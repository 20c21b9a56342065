-- Accept messages that clients store, each of another session, in one round trip: what six statements of a gateway did, and
-- `take_turns` among them. Those are accepted of which a row is returned.
--
-- They are no turns, so the insert of one takes no lock of its session: `locks` are taken, of each session one, and a row in
-- the way of turns, which nobody ever sees, waits for those who claim one and lets them wait. Each statement here sees what was
-- committed before it, so what is looked up after that is all that there is until the end of the transaction.
--
-- `recalled`: the claimant has not read the session, so its newest turn must be there, and nothing of it may have been erased
-- since; there may be more of the session than turns, as notes of the system, to which nobody replies.
CREATE FUNCTION gateway.take_posted(
    ids uuid[], users text[], sessions text[], locks bigint[], placeholders uuid[], keys text[], body_hashes bytea[],
    owners text[], correlation_ids uuid[], traceparents text[], models text[], providers text[], projects text[],
    helpers text[], questions jsonb[], nonces uuid[], known_untils timestamptz[], recalled boolean[]
) RETURNS TABLE (id uuid, said_at timestamptz, said jsonb)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(key) FROM unnest(locks) AS key;
    INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
        model, provider, question, asked_at)
    SELECT p.id, p.user_id, p.session_id, '', '', 'running', clock_timestamp(), p.id, '', '', '{}', clock_timestamp()
    FROM unnest(placeholders, users, sessions) AS p (id, user_id, session_id)
    ORDER BY p.user_id, p.session_id
    ON CONFLICT DO NOTHING;
    DELETE FROM gateway.turns WHERE turn_id = ANY (placeholders);

    RETURN QUERY
    INSERT INTO gateway.turns AS t (turn_id, user_id, session_id, idempotency_key, body_hash, owner, correlation_id,
        traceparent, model, provider, project_id, helper, question, nonce, state, lease_until, asked_at)
    SELECT c.turn_id, c.user_id, c.session_id, c.key, c.body_hash, c.owner, c.correlation_id, c.traceparent, c.model,
        c.provider, c.project_id, c.helper, c.question, c.nonce, 'posted', clock_timestamp(),
        greatest(clock_timestamp(), newest.place + interval '1 microsecond')
    FROM unnest(ids, users, sessions, keys, body_hashes, owners, correlation_ids, traceparents, models, providers,
        projects, helpers, questions, nonces, known_untils, recalled)
        AS c (turn_id, user_id, session_id, key, body_hash, owner, correlation_id, traceparent, model, provider,
            project_id, helper, question, nonce, known_until, is_recalled)
    -- Each by the keys of its session: a join may read all turns, or all deletions.
    CROSS JOIN LATERAL (SELECT max(before.place) AS place FROM gateway.turns before
        WHERE before.user_id = c.user_id AND before.session_id = c.session_id) newest
    WHERE (newest.place IS NULL OR newest.place <= c.known_until)
        AND (NOT c.is_recalled OR (newest.place = c.known_until
            AND (SELECT e.user_hash FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(c.user_id) AND e.erased_at >= c.known_until) IS NULL))
        -- `is_gone`, written out: to call it would take five times as long
        AND (SELECT d.user_id FROM gateway.deletions d
            WHERE d.user_id = c.user_id AND d.session_id = c.session_id) IS NULL
        AND (SELECT e.user_hash FROM gateway.erasures e
            WHERE e.user_hash = tripthread.user_hash(c.user_id) AND e.done_at IS NULL
                AND e.erased_at >= (SELECT min(o.asked_at) FROM gateway.turns o
                    WHERE o.user_id = c.user_id AND o.session_id = c.session_id)) IS NULL
    ON CONFLICT DO NOTHING
    RETURNING t.turn_id, t.asked_at, t.question;
END
$$;
REVOKE ALL ON FUNCTION gateway.take_posted FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.take_posted TO tripthread_gateway;
