-- What the next turn of a session must know of it: the turns that are not stored yet, the stored messages, and what the
-- session keeps. `session_past` of 0012, whose row of a session does not have its model, project and helper, and which does
-- not know of sessions that are opened and not stored yet; that one is for gateways of the release before.
--
-- By its caller's rights, so row-level security holds. The turns are read first, each query sees what is committed when
-- it begins: what is stored in between is then there twice, and never missed.
--
-- Turns come newest first: the running one, and of the others the newest. Each user who has turns in the session has a
-- row at least, with the place of the newest, stored or not. Each session that is stored has a row of its own, which
-- says whether it was deleted, and its model, project and helper; so has one that was opened, while it is not stored. Of messages: the newest, those that are wanted, and the first that users said. Of the
-- newest, and of the wanted, the texts come as far back as they are `most_bytes` together; the wanted and the first
-- come with a digest.
CREATE FUNCTION gateway.past_with_opening(
    users text[], session text, wanted text[], first_said integer, newest_messages integer, most_bytes bigint,
    newest_turns integer
) RETURNS TABLE (
    user_id text, newest timestamptz, turn_id uuid, session_id text, attempt integer, state text, model text,
    project_id text, helper text, asked_at timestamptz, answered_at timestamptz, question jsonb, earlier jsonb,
    told boolean, age_s double precision, expired boolean,
    deleted boolean, message_id text, role text, parent_id text, created_at timestamptz, client_message_id text,
    content text, digest bytea, is_clients boolean
)
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan  -- to plan it anew took ten times as long as to run it
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('app.user_ids', users::text, true);
    RETURN QUERY
    SELECT identity.id, known.newest, t.turn_id, t.session_id, t.attempt, t.state, t.model, t.project_id, t.helper,
        t.asked_at, t.answered_at, t.question - '{content,parts,metadata,earlier}'::text[],
        CASE WHEN jsonb_array_length(t.question -> 'earlier') > 0 THEN (
            SELECT jsonb_agg(said - '{content,parts,metadata}'::text[] ORDER BY number)
            FROM jsonb_array_elements(t.question -> 'earlier') WITH ORDINALITY AS each (said, number)
        ) END,
        t.question_published AND (t.answer_published OR t.state = 'posted'),
        extract(epoch FROM clock_timestamp() - t.place)::float8,
        t.state = 'running' AND t.lease_until < clock_timestamp(),
        NULL::boolean, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::bytea,
        NULL::boolean
    FROM unnest(users) AS identity (id)
    CROSS JOIN LATERAL (
        SELECT max(place) AS newest FROM gateway.turns WHERE user_id = identity.id AND session_id = session) AS known
    LEFT JOIN LATERAL (
        SELECT * FROM gateway.turns busy
        WHERE busy.user_id = identity.id AND busy.session_id = session AND busy.state = 'running'
        UNION ALL
        (SELECT * FROM gateway.turns ended
        WHERE ended.user_id = identity.id AND ended.session_id = session AND ended.state <> 'running'
            AND ended.stored_at IS NULL
        ORDER BY ended.place DESC LIMIT newest_turns)) t ON true
    WHERE known.newest IS NOT NULL
    ORDER BY t.place DESC;

    RETURN QUERY
    SELECT s.user_id, NULL::timestamptz, NULL::uuid, NULL::text, NULL::integer, NULL::text, s.model, s.project_id,
        s.helper, NULL::timestamptz, NULL::timestamptz, NULL::jsonb, NULL::jsonb, NULL::boolean, NULL::float8,
        NULL::boolean,
        s.deleted_at IS NOT NULL, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text,
        NULL::bytea, NULL::boolean
    FROM chat.sessions s
    WHERE s.user_id = ANY (users) AND s.session_id = session;
    IF NOT FOUND THEN  -- nothing of it is stored: it is a new one, or one that was opened just now
        RETURN QUERY
        SELECT DISTINCT ON (o.user_id) o.user_id, NULL::timestamptz, NULL::uuid, NULL::text, NULL::integer, NULL::text,
            o.opening ->> 'model', o.opening ->> 'project_id', o.opening ->> 'helper', NULL::timestamptz,
            NULL::timestamptz, NULL::jsonb, NULL::jsonb, NULL::boolean, NULL::float8, NULL::boolean,
            false, NULL::text, NULL::text, NULL::text, NULL::timestamptz, NULL::text, NULL::text, NULL::bytea,
            NULL::boolean
        FROM gateway.session_openings o
        WHERE o.user_id = ANY (users) AND o.session_id = session
        ORDER BY o.user_id, o.accepted_at;
        RETURN;
    END IF;

    RETURN QUERY
    SELECT whose.id, NULL::timestamptz, NULL::uuid, NULL::text, NULL::integer, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::jsonb, NULL::jsonb, NULL::boolean, NULL::float8,
        NULL::boolean,
        NULL::boolean, m.message_id, m.role, m.parent_id, m.created_at, m.client_message_id,
        CASE WHEN sum(octet_length(m.content)) OVER newer <= most_bytes THEN m.content END, NULL::bytea,
        m.turn_id IS NULL
    FROM unnest(users) AS whose (id)
    CROSS JOIN LATERAL (
        SELECT message_id, role, parent_id, created_at, client_message_id, content, turn_id
        FROM chat.messages n
        WHERE n.user_id = whose.id AND n.session_id = session
        ORDER BY n.created_at DESC, n.message_id DESC LIMIT newest_messages) m
    WINDOW newer AS (
        PARTITION BY whose.id ORDER BY m.created_at DESC, m.message_id DESC ROWS UNBOUNDED PRECEDING);

    IF cardinality(wanted) > 0 THEN
        RETURN QUERY
        SELECT m.user_id, NULL::timestamptz, NULL::uuid, NULL::text, NULL::integer, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::jsonb, NULL::jsonb, NULL::boolean, NULL::float8,
        NULL::boolean,
            NULL::boolean, m.message_id, m.role, m.parent_id, m.created_at, m.client_message_id,
            CASE WHEN sum(octet_length(m.content)) OVER newer <= most_bytes THEN m.content END,
            sha256(convert_to(m.content, 'UTF8')), m.turn_id IS NULL
        FROM (
            SELECT * FROM chat.messages a
            WHERE a.user_id = ANY (users) AND a.session_id = session AND a.message_id = ANY (wanted)
            UNION ALL
            SELECT * FROM chat.messages e
            WHERE e.user_id = ANY (users) AND e.session_id = session AND e.client_message_id = ANY (wanted)) m
        WINDOW newer AS (
            PARTITION BY m.user_id ORDER BY m.created_at DESC, m.message_id DESC ROWS UNBOUNDED PRECEDING);
    END IF;

    IF first_said > 0 THEN
        RETURN QUERY
        SELECT whose.id, NULL::timestamptz, NULL::uuid, NULL::text, NULL::integer, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::jsonb, NULL::jsonb, NULL::boolean, NULL::float8,
        NULL::boolean,
            NULL::boolean, m.message_id, m.role, m.parent_id, m.created_at, m.client_message_id, NULL::text,
            sha256(convert_to(m.content, 'UTF8')), m.turn_id IS NULL
        FROM unnest(users) AS whose (id)
        CROSS JOIN LATERAL (
            SELECT * FROM chat.messages f
            WHERE f.user_id = whose.id AND f.session_id = session AND f.role = 'user'
            ORDER BY f.created_at, f.message_id LIMIT first_said) m;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION gateway.past_with_opening FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.past_with_opening TO tripthread_reader;
