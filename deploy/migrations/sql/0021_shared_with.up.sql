-- Shares with named users, and with a project: no link opens them.
ALTER TABLE gateway.shares
    ALTER COLUMN token_hash DROP NOT NULL,       -- of a link only
    ADD COLUMN project_id text COLLATE "C",      -- with which it is shared: with whoever's token names it
    ADD COLUMN session_project text COLLATE "C"; -- the session's own at that moment; of a share with users
CREATE INDEX shares_with_project ON gateway.shares (project_id, created_at DESC, share_id DESC)
    WHERE project_id IS NOT NULL;

-- With whom. A row is its reader's, and goes when they are erased, or with the share.
CREATE TABLE gateway.shared_with (
    share_id uuid NOT NULL REFERENCES gateway.shares ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL,           -- who reads it
    shared_at timestamptz NOT NULL,              -- the share's created_at
    PRIMARY KEY (share_id, user_id)
);
CREATE INDEX shared_with_in_order ON gateway.shared_with (user_id, shared_at DESC, share_id DESC);
SELECT tripthread.protect('gateway.shared_with', 'tripthread_gateway', 'user_id'),
    tripthread.hide_deleted('gateway.shared_with', 'shared_at', 'NULL');

-- What others share with the caller: as the owner of the tables, since the rows are others'. So this is where it is decided
-- who reads what of somebody else: the users are the transaction's (`tripthread.user_ids()`), never an argument; and nothing
-- that is hidden from its own reader is there for others.
--
-- projects: those that the caller's token names; NULL: it names none, so nothing is shared with it by a project, and what is
--   shared with its user is there whichever project the session is of.
-- Neither whose the session is comes of it, nor what it is called there.
CREATE FUNCTION gateway.shared_page(projects text[], before_at timestamptz, before_id uuid, most integer)
    RETURNS TABLE (share_id uuid, title text, created_at timestamptz, expires_at timestamptz, project_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT found.* FROM (
        SELECT given.* FROM unnest(tripthread.user_ids()) AS mine (id) CROSS JOIN LATERAL (
            SELECT s.share_id, s.title, s.created_at, s.expires_at, s.project_id
            FROM gateway.shared_with w JOIN gateway.shares s USING (share_id)
            WHERE w.user_id = mine.id AND (w.shared_at, w.share_id) < (before_at, before_id)
                AND (projects IS NULL OR s.session_project = ANY (projects))
                AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
                AND NOT tripthread.is_hidden(w.user_id, NULL, w.shared_at)
                AND NOT tripthread.is_hidden(s.user_id, s.session_id, s.created_at)
            ORDER BY w.shared_at DESC, w.share_id DESC LIMIT most) given
        UNION
        SELECT given.* FROM unnest(projects) AS named (id) CROSS JOIN LATERAL (
            SELECT s.share_id, s.title, s.created_at, s.expires_at, s.project_id
            FROM gateway.shares s
            WHERE s.project_id = named.id AND (s.created_at, s.share_id) < (before_at, before_id)
                AND s.user_id <> ALL (tripthread.user_ids())
                AND s.revoked_at IS NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())
                AND NOT tripthread.is_hidden(s.user_id, s.session_id, s.created_at)
            ORDER BY s.created_at DESC, s.share_id DESC LIMIT most) given
    ) found
    ORDER BY found.created_at DESC, found.share_id DESC LIMIT most;
END
$$;

-- One of them, and of which session of whose it is, for the gateway to read it; it may have ended.
CREATE FUNCTION gateway.shared_one(share uuid, projects text[])
    RETURNS TABLE (share_id uuid, user_id text, session_id text, title text, created_at timestamptz,
        expires_at timestamptz, revoked_at timestamptz, project_id text, has_ended boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.share_id, s.user_id, s.session_id, s.title, s.created_at, s.expires_at, s.revoked_at, s.project_id,
        s.revoked_at IS NOT NULL OR coalesce(s.expires_at <= clock_timestamp(), false)
    FROM gateway.shares s
    WHERE s.share_id = share AND NOT tripthread.is_hidden(s.user_id, s.session_id, s.created_at)
        AND (s.project_id = ANY (projects) OR EXISTS (
            SELECT FROM gateway.shared_with w
            WHERE w.share_id = share AND w.user_id = ANY (tripthread.user_ids())
                AND (projects IS NULL OR s.session_project = ANY (projects))
                AND NOT tripthread.is_hidden(w.user_id, NULL, w.shared_at)));
END
$$;
REVOKE ALL ON FUNCTION gateway.shared_page, gateway.shared_one FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.shared_page, gateway.shared_one TO tripthread_reader;
