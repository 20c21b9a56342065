-- What the schemas share. The tables of a schema are written by one service, its owner in the table below, and read by
-- the gateway's two select-only roles: tripthread_reader sees the rows of the users it names in each transaction
-- (set_config('app.user_ids', ...)), tripthread_admin sees all.
--
--   chat      tripthread_logger        gateway   tripthread_gateway
--   tagging   tripthread_tagger        workflow  tripthread_workflow

CREATE FUNCTION tripthread.user_ids() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT coalesce(nullif(current_setting('app.user_ids', true), ''), '{}')::text[] $$;

GRANT USAGE ON SCHEMA tripthread TO tripthread_reader, tripthread_admin, tripthread_logger, tripthread_tagger,
    tripthread_workflow, tripthread_gateway;

-- Give a table to the service that writes it and to the gateway's readers.
-- user_column: the column that names the row's owner; NULL where the table holds no user data (every reader sees it);
-- '' where it holds data that only administrators may read.
CREATE FUNCTION tripthread.protect(target regclass, writer name, user_column text) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    visible text := CASE
        WHEN user_column IS NULL THEN 'true'
        WHEN user_column = '' THEN 'false'
        ELSE format('%I = ANY (tripthread.user_ids())', user_column)
    END;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', target, writer);
    EXECUTE format('GRANT SELECT ON %s TO tripthread_reader, tripthread_admin', target);
    EXECUTE format('CREATE POLICY writer ON %s TO %I USING (true) WITH CHECK (true)', target, writer);
    EXECUTE format('CREATE POLICY reader ON %s FOR SELECT TO tripthread_reader USING (%s)', target, visible);
    EXECUTE format('CREATE POLICY admin ON %s FOR SELECT TO tripthread_admin USING (true)', target);
END
$$;
