-- Search by the words of titles and messages.

-- The words of one text: of a message, or, without an id of one, of a session's title. Each word has a key of its user
-- before it, so that what is read for one user does not grow by what others have said. Filled a moment after the text
-- was stored; a message takes its words with it when it goes.
CREATE TABLE chat.search (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    message_id text COLLATE "C",
    version uuid NOT NULL,                       -- the message's event_id; a title's MD5
    since timestamptz NOT NULL,                  -- the created_at of the message or session
    terms tsvector NOT NULL,                     -- see shared/search_words.py
    UNIQUE NULLS NOT DISTINCT (user_id, session_id, message_id),
    FOREIGN KEY (user_id, session_id, message_id) REFERENCES chat.messages ON DELETE CASCADE
);
-- Every search reads what is pending, one entry after the other, so that is kept short.
CREATE INDEX search_by_terms ON chat.search USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = 256);
-- No statistics: the plan is the same whatever they would say, and to make them of these takes long.
ALTER TABLE chat.search ALTER COLUMN terms SET STATISTICS 0;
SELECT tripthread.protect('chat.search', 'tripthread_logger', 'user_id'), tripthread.hide_deleted('chat.search', 'since');

-- Up to where `stored_at` of messages and `updated_at` of sessions have been looked at. Whether a text is to be indexed
-- is told by its version, so to look again is harmless.
CREATE TABLE chat.search_progress (
    looked_until timestamptz NOT NULL
);
CREATE UNIQUE INDEX search_progress_is_one ON chat.search_progress ((true));
SELECT tripthread.protect('chat.search_progress', 'tripthread_logger', '');
-- As those of 0013_changes_since: what was written lately, at no cost to whoever writes.
CREATE INDEX messages_by_change ON chat.messages USING brin (stored_at) WITH (pages_per_range = 8, autosummarize = on);

-- Find which of the caller's sessions have all words in their title or in one message: as the owner of the tables, because
-- `@@` is not leakproof, and under row-level security no index is used for it. So this is where it is decided what the
-- caller sees: whose words (`tripthread.user_ids()`, never an argument), and nothing that is hidden (see
-- `tripthread.hide_deleted`).
--
-- query: a tsquery, in which each word has `{u}` before it.
-- owners, sessions: among these; NULL: among all.
-- most_texts: of one of these sessions at most so many texts are looked through. One that has more comes, too, where the
--   words are not in those: whether it has them is not known.
-- most: where there are so many texts with the words among all, it is not known which sessions there are besides.
-- Of each session comes the message that was found, the one with the greatest id; none where its title has the words.
CREATE FUNCTION chat.search_sessions(query text, owners text[], sessions text[], most_texts integer, most integer)
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
BEGIN
    IF sessions IS NULL THEN
        -- OFFSET 0: by the words, whatever the planner takes a user for.
        RETURN QUERY
        SELECT own.user_id, own.session_id, CASE WHEN bool_and(own.message_id IS NOT NULL) THEN max(own.message_id) END,
            sum(count(*)) OVER () < most
        FROM (
            SELECT hit.* FROM unnest(tripthread.user_ids()) AS mine (id)
            CROSS JOIN LATERAL (
                SELECT x.user_id, x.session_id, x.message_id, x.since FROM chat.search x
                WHERE x.terms @@ replace(query, '{u}', left(encode(tripthread.user_hash(mine.id), 'hex'), 6))::tsquery
                OFFSET 0) hit
            WHERE hit.user_id = mine.id AND NOT (hides AND tripthread.is_hidden(hit.user_id, hit.session_id, hit.since))
            LIMIT most) own
        GROUP BY own.user_id, own.session_id;
    ELSE
        RETURN QUERY
        SELECT given.user_id, given.session_id, hit.message_id, hit.is_one
        FROM unnest(owners, sessions) AS given (user_id, session_id)
        CROSS JOIN LATERAL (SELECT
            replace(query, '{u}', left(encode(tripthread.user_hash(given.user_id), 'hex'), 6))::tsquery AS sought
            OFFSET 0) own
        CROSS JOIN LATERAL (
            SELECT min(first.message_id) AS message_id, count(*) = 1 AS is_one FROM (
                SELECT few.message_id FROM (
                    SELECT * FROM chat.search x
                    WHERE x.user_id = given.user_id AND x.session_id = given.session_id
                    ORDER BY x.message_id DESC LIMIT most_texts) few
                WHERE few.terms @@ own.sought
                    AND NOT (hides AND tripthread.is_hidden(few.user_id, few.session_id, few.since))
                LIMIT 1) first
        ) hit
        WHERE given.user_id = ANY (tripthread.user_ids()) AND (hit.is_one OR most_texts = (
            SELECT count(*) FROM (SELECT FROM chat.search x
                WHERE x.user_id = given.user_id AND x.session_id = given.session_id LIMIT most_texts) few));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION chat.search_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION chat.search_sessions TO tripthread_reader;
