-- Deleted sessions and erased users: hidden at once, gone a little later.
--
-- The gateway accepts a deletion by a row here, and tells of it by this row. Each consumer then notes it in its own schema: a
-- tombstone of the session, or a line in its ledger of users. From that commit on it writes nothing any more that is older.
-- What it had goes in portions (`swept_at`, `done_at`), after every transaction has ended that began before the note.

-- Name a user in the ledgers, which must name nobody: `user_hash` of shared/ids.py.
CREATE FUNCTION tripthread.user_hash(user_id text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE  -- as `convert_to` is, or it would not be written out where it is called
    AS $$ SELECT sha256(convert_to('tripthread/user/' || user_id, 'UTF8')) $$;

-- A session that its user has deleted. The row stays: no claim gets the session again.
CREATE TABLE gateway.deletions (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    correlation_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    noted_by xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- see shared/sweeping.py, as of `noted_at`
    noted_at timestamptz NOT NULL DEFAULT 'infinity',
    told_at timestamptz,                         -- when the broker had it last; none: it is still to be told
    tellings integer NOT NULL DEFAULT 0,
    swept_at timestamptz,                        -- its turns and shares are gone
    settled_at timestamptz,                      -- nothing of it is left in any schema
    PRIMARY KEY (user_id, session_id)
);
CREATE INDEX deletions_unsettled ON gateway.deletions (user_id, session_id) WHERE settled_at IS NULL;
SELECT tripthread.protect('gateway.deletions', 'tripthread_gateway', 'user_id');

-- A user of whom everything goes that is older than this. The row stays, and then knows only the hash.
CREATE TABLE gateway.erasures (
    user_hash bytea PRIMARY KEY,                 -- tripthread.user_hash
    user_id text COLLATE "C",                    -- until it is done
    event_id uuid NOT NULL,
    correlation_id uuid NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    noted_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    noted_at timestamptz NOT NULL DEFAULT 'infinity',
    told_at timestamptz,
    tellings integer NOT NULL DEFAULT 0,
    swept_at timestamptz,                        -- what the gateway itself had is gone
    done_at timestamptz,                         -- nothing older is left in any schema
    CHECK ((user_id IS NULL) = (done_at IS NOT NULL)),
    CHECK (length(user_id) BETWEEN 1 AND 255)    -- or its event could not be told
);
CREATE INDEX erasures_undone ON gateway.erasures (erased_at) WHERE done_at IS NULL;
SELECT tripthread.protect('gateway.erasures', 'tripthread_gateway', '');

CREATE FUNCTION tripthread.user_hashes() RETURNS bytea[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT coalesce(array_agg(tripthread.user_hash(user_id)), '{}') FROM unnest(tripthread.user_ids()) AS user_id $$;
ALTER POLICY reader ON gateway.erasures USING (user_hash = ANY ((SELECT tripthread.user_hashes())::bytea[]));

-- Read as these users until the end of the transaction, and find out whether anything of theirs is to be hidden. They are
-- given back for whatever is to come after it in the same statement.
CREATE FUNCTION tripthread.read_as(users text[]) RETURNS text[]
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM set_config('app.user_ids', users::text, true);
    PERFORM set_config('app.hides', CASE WHEN
        EXISTS (SELECT FROM gateway.deletions d WHERE d.user_id = ANY (users) AND d.settled_at IS NULL)
        OR EXISTS (SELECT FROM gateway.erasures e WHERE e.done_at IS NULL)  -- theirs alone, by the policy
        THEN 'yes' ELSE 'no' END, true);
    RETURN users;
END
$$;

-- Whether what one user has of one session, since a moment, was deleted and is not gone yet.
CREATE FUNCTION tripthread.is_hidden(owner text, session text, since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT EXISTS (SELECT FROM gateway.deletions d
            WHERE d.user_id = owner AND d.session_id = session AND d.settled_at IS NULL)
        OR EXISTS (SELECT FROM gateway.erasures e
            WHERE e.user_hash = tripthread.user_hash(owner) AND e.done_at IS NULL AND e.erased_at >= since)
    $$;

-- Hide rows of these from their readers until they are gone. Where nothing of the reader's users is to be hidden, which
-- `read_as` has found out once, no row is looked at twice.
CREATE FUNCTION tripthread.hide_deleted(target regclass, since text, session text DEFAULT 'session_id') RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format('ALTER POLICY reader ON %s USING (user_id = ANY (tripthread.user_ids())
        AND ((SELECT current_setting(''app.hides'', true) = ''no'') OR NOT tripthread.is_hidden(user_id, %s, %s)))',
        target, session, since);
END
$$;
ALTER TABLE tagging.session_tags ADD COLUMN accepted_at timestamptz;  -- of its message; none: as `tagged_at`
SELECT tripthread.hide_deleted('gateway.session_openings', 'accepted_at'),
    tripthread.hide_deleted('chat.sessions', 'created_at'),
    tripthread.hide_deleted('chat.session_marks', '''-infinity''::timestamptz'),
    tripthread.hide_deleted('chat.messages', 'created_at'),
    tripthread.hide_deleted('chat.traces', 'started_at'),
    tripthread.hide_deleted('chat.feedback', 'occurred_at'),
    tripthread.hide_deleted('chat.templates', 'occurred_at', 'NULL'),
    tripthread.hide_deleted('tagging.session_tags', 'coalesce(accepted_at, tagged_at)'),
    tripthread.hide_deleted('workflow.trip_sessions', 'started_at'),
    tripthread.hide_deleted('workflow.requests', 'created_at'),
    tripthread.hide_deleted('gateway.turns', 'asked_at'),
    tripthread.hide_deleted('gateway.shares', 'created_at');

-- The ledgers: which users are erased, and how far that has come. `user_id` goes when it is done. `noted_at` is when a
-- sweep found the line committed, until then 'infinity': see shared/sweeping.py.
ALTER TABLE chat.erased_users
    ADD COLUMN user_id text COLLATE "C",
    ADD COLUMN event_id uuid,
    ADD COLUMN noted_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN noted_at timestamptz NOT NULL DEFAULT 'infinity',
    ADD COLUMN done_at timestamptz;
ALTER TABLE tagging.erased_users
    ADD COLUMN user_id text COLLATE "C",
    ADD COLUMN event_id uuid,
    ADD COLUMN noted_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN noted_at timestamptz NOT NULL DEFAULT 'infinity',
    ADD COLUMN done_at timestamptz;
ALTER TABLE workflow.erased_users
    ADD COLUMN user_id text COLLATE "C",
    ADD COLUMN event_id uuid,
    ADD COLUMN noted_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ADD COLUMN noted_at timestamptz NOT NULL DEFAULT 'infinity',
    ADD COLUMN done_at timestamptz;

CREATE INDEX erased_users_undone ON chat.erased_users (noted_at) WHERE done_at IS NULL;
CREATE INDEX erased_users_undone ON tagging.erased_users (noted_at) WHERE done_at IS NULL;
CREATE INDEX erased_users_undone ON workflow.erased_users (noted_at) WHERE done_at IS NULL;

-- chat: the row of a deleted session is its tombstone, with nothing in it.
ALTER TABLE chat.sessions
    ADD COLUMN noted_by xid8,                    -- of a deleted one: see shared/sweeping.py
    ADD COLUMN noted_at timestamptz,
    ADD COLUMN swept_at timestamptz;             -- its messages and all else are gone
CREATE INDEX sessions_unswept ON chat.sessions (noted_at) WHERE deleted_at IS NOT NULL AND swept_at IS NULL;
CREATE INDEX dead_letters_of_user ON chat.dead_letters (user_id, dead_letter_id);
CREATE INDEX dead_letters_of_nobody ON chat.dead_letters (dead_letter_id) WHERE user_id IS NULL;
CREATE INDEX conversation_reads_of_user ON chat.conversation_reads (user_id);

-- tagging: a user who begins anew after an erasure is counted from 001 again, while the older rows are still there.
-- `since` is that erasure; a counter of an older one begins again when it is stepped. A tag is as old as its message,
-- which `accepted_at` says; `tagged_at` is the clock, by which live gateways look for tags that are new.
ALTER TABLE tagging.counters ADD COLUMN since timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE tagging.session_tags ADD COLUMN since timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE tagging.session_tags DROP CONSTRAINT session_tags_user_id_model_id_number_key;
ALTER TABLE tagging.session_tags ADD CONSTRAINT session_tags_number UNIQUE (user_id, model_id, since, number);

-- workflow: since this revision `started_at` of a tie and `created_at` of an order are when the order was accepted.
-- A deleted session has a tombstone whether it ever had a trip or not, since its order may come late.
CREATE TABLE workflow.deleted_sessions (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    deleted_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    noted_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    noted_at timestamptz NOT NULL DEFAULT 'infinity',  -- when a sweep found this committed: see shared/sweeping.py
    swept_at timestamptz,                        -- its ties and orders are gone, and the trips that were nobody else's
    PRIMARY KEY (user_id, session_id)
);
CREATE INDEX deleted_sessions_unswept ON workflow.deleted_sessions (noted_at) WHERE swept_at IS NULL;
SELECT tripthread.protect('workflow.deleted_sessions', 'tripthread_workflow', 'user_id');
CREATE INDEX requests_of_session ON workflow.requests (user_id, session_id);

-- Users from whom an operator took a trip: nobody of them has it again. It is the operator's word and none of theirs, so it
-- outlives their orders, sessions and erasure, and knows a hash only.
CREATE TABLE workflow.bans (
    user_hash bytea NOT NULL,                    -- tripthread.user_hash
    trip_id uuid NOT NULL,                       -- the row that they had; it may be gone
    avinode_trip_id text COLLATE "C",            -- what the trip is called at Avinode, as far as anybody here knows
    trip_code text COLLATE "C",
    released_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_hash, trip_id)
);
CREATE INDEX bans_of_trip ON workflow.bans (trip_id);
CREATE INDEX bans_by_avinode_trip_id ON workflow.bans (avinode_trip_id);
CREATE INDEX bans_by_trip_code ON workflow.bans (trip_code);
SELECT tripthread.protect('workflow.bans', 'tripthread_workflow', '');
INSERT INTO workflow.bans (user_hash, trip_id, avinode_trip_id, trip_code, released_at)
SELECT tripthread.user_hash(r.user_id), t.trip_id, t.avinode_trip_id, t.trip_code, min(r.updated_at)
FROM workflow.requests r JOIN workflow.trips t USING (trip_id) WHERE r.code = 'trip_released'
GROUP BY r.user_id, t.trip_id;

-- Whether what one user has of one session, since a moment, was deleted: a tie by when it began, an order by when it was
-- accepted. A tombstone of before its user's erasure says nothing any more, and goes with it.
CREATE FUNCTION workflow.is_gone(owner text, session text, since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT EXISTS (SELECT FROM workflow.erased_users e
            WHERE e.user_hash = tripthread.user_hash(owner) AND e.erased_at >= since)
        OR EXISTS (SELECT FROM workflow.deleted_sessions d
            WHERE d.user_id = owner AND d.session_id = session AND NOT EXISTS (SELECT FROM workflow.erased_users e
                WHERE e.user_hash = tripthread.user_hash(owner) AND e.erased_at >= d.deleted_at))
    $$;

-- Whether only deleted sessions were about a trip: it is to go, and nobody shall have it any more.
CREATE FUNCTION workflow.is_forsaken(trip uuid) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT EXISTS (SELECT FROM workflow.trip_sessions s
            WHERE s.trip_id = trip AND workflow.is_gone(s.user_id, s.session_id, s.started_at))
        AND NOT EXISTS (SELECT FROM workflow.trip_sessions s
            WHERE s.trip_id = trip AND s.deleted_at IS NULL AND NOT workflow.is_gone(s.user_id, s.session_id, s.started_at))
    $$;
REVOKE ALL ON FUNCTION workflow.is_gone, workflow.is_forsaken FROM PUBLIC;
GRANT EXECUTE ON FUNCTION workflow.is_gone, workflow.is_forsaken TO tripthread_workflow;


-- Whether no claim gets a session: it was deleted, or its user is erased and older turns of it are to go still.
CREATE FUNCTION gateway.is_gone(owner text, session text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT EXISTS (SELECT FROM gateway.deletions d WHERE d.user_id = owner AND d.session_id = session)
        OR EXISTS (SELECT FROM gateway.erasures e
            WHERE e.user_hash = tripthread.user_hash(owner) AND e.done_at IS NULL
                -- No join, which could read the session's turns before it knows that nobody is being erased.
                AND e.erased_at >= (SELECT min(t.asked_at) FROM gateway.turns t
                    WHERE t.user_id = is_gone.owner AND t.session_id = is_gone.session))  -- turns have an owner, too
    $$;
REVOKE ALL ON FUNCTION gateway.is_gone FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.is_gone TO tripthread_gateway;

-- `claim_turns` of 0012 for gateways that know of deletions. A deleted session is not claimed, nor is one in which an erased
-- user has turns that are to go still; and a claimant is stale, too, who remembers (`remembers_from`: the oldest message)
-- what was erased meanwhile.
CREATE FUNCTION gateway.begin_turns(
    ids uuid[], users text[], sessions text[], keys text[], body_hashes bytea[], owners text[], correlation_ids uuid[],
    traceparents text[], models text[], providers text[], projects text[], helpers text[], questions jsonb[],
    known_ats jsonb[], nonces uuid[], states text[], messages integer[], known_untils timestamptz[],
    remembers_from timestamptz[], lease_s integer
) RETURNS TABLE (id uuid, is_stale boolean, turn gateway.turns)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    claimed gateway.turns[];
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

    WITH deleted AS (
        DELETE FROM gateway.turns t
        USING unnest(ids, known_untils, remembers_from) AS c (id, known_until, remembered)
        WHERE t.turn_id = c.id AND t.turn_id IN (SELECT turn_id FROM unnest(claimed))
            AND (coalesce(c.known_until, '-infinity') < (
                SELECT max(other.place) FROM gateway.turns other
                WHERE other.user_id = t.user_id AND other.session_id = t.session_id AND other.turn_id <> t.turn_id)
            OR EXISTS (SELECT FROM gateway.erasures e
                WHERE e.user_hash = tripthread.user_hash(t.user_id) AND e.erased_at >= c.remembered))
        RETURNING t.turn_id
    )
    SELECT array_agg(turn_id) INTO stale FROM deleted;

    RETURN QUERY SELECT c.turn_id, coalesce(c.turn_id = ANY (stale), false), c FROM unnest(claimed) AS c;
END
$$;
REVOKE ALL ON FUNCTION gateway.begin_turns FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.begin_turns TO tripthread_gateway;
