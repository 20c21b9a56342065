-- The claim looks for what is stale by keys alone. `take_turns` of 0025 joined what it had claimed with all turns there are,
-- where its plan was made for an empty table: a millisecond a turn with five thousand of them, and more with each.
CREATE OR REPLACE FUNCTION gateway.take_turns(
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

    -- Each claimant by the keys of its session, and nothing by a join with the table, which would read all turns.
    stale := ARRAY(
        SELECT t.turn_id
        FROM unnest(claimed) AS t
        JOIN unnest(ids, known_untils, remembers_from, recalled) AS c (id, known_until, remembered, is_recalled)
            ON c.id = t.turn_id
        WHERE coalesce(c.known_until, '-infinity') < (
                SELECT max(other.place) FROM gateway.turns other
                WHERE other.user_id = t.user_id AND other.session_id = t.session_id AND other.turn_id <> t.turn_id)
            OR EXISTS (SELECT FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(t.user_id) AND e.erased_at >= c.remembered)
            -- No NOT EXISTS: that may be planned as a look-up in a hash of all turns.
            OR (c.is_recalled AND (c.id = ANY (more) OR (SELECT other.turn_id FROM gateway.turns other
                WHERE other.user_id = t.user_id AND other.session_id = t.session_id AND other.place = c.known_until
                LIMIT 1) IS NULL)));
    IF cardinality(stale) > 0 THEN
        DELETE FROM gateway.turns WHERE turn_id = ANY (stale);
    END IF;

    RETURN QUERY SELECT c.turn_id, coalesce(c.turn_id = ANY (stale), false), c FROM unnest(claimed) AS c;
END
$$;

-- The job that makes messages findable looks at what was stored lately once a second or for each hundred messages. By ranges
-- of blocks it read all that autovacuum had not summarized yet; what an insert pays for this index is less.
CREATE INDEX messages_by_stored ON chat.messages (stored_at);
DROP INDEX chat.messages_by_change;
