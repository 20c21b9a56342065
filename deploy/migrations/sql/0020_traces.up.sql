-- chat.traces: a row is one call of a model. `trace_id` names it: of ours it is its answer's id, of one that an application
-- outside tells of the application's own word, of one from OTLP `{trace id}-{span id}`. Of older rows it is not known what
-- these columns say.
ALTER TABLE chat.traces
    ADD COLUMN source text NOT NULL DEFAULT 'turn'  -- a turn of ours; told to /api/analytics/traces; a span told to /v1/traces
        CHECK (source IN ('turn', 'api', 'otlp')),
    ADD COLUMN w3c_trace_id text COLLATE "C"     -- 32 hex digits; one trace of OpenTelemetry may hold many calls
        CHECK (w3c_trace_id ~ '^[0-9a-f]{32}$'),
    ADD COLUMN helper text,                      -- the assistant that the session was with
    ADD COLUMN experiment_name text,             -- only of a trace from outside; of ours it is joined, as the tag is
    ADD COLUMN error_class text,                 -- `error.type` of OpenTelemetry: few different ones; `error` is the text
    ADD COLUMN cost numeric                      -- exact, in `currency`; none where no price was configured
        CHECK (cost >= 0 AND cost < 'Infinity'),
    ADD COLUMN currency text CHECK (currency ~ '^[A-Z]{3}$'),  -- ISO 4217
    -- The database's clock when a gateway accepted it, of ours when it accepted the question: an erasure takes what is older.
    -- `started_at` is what its sender says.
    ADD COLUMN accepted_at timestamptz,
    ADD CONSTRAINT traces_cost_has_currency CHECK ((cost IS NULL) = (currency IS NULL));
SELECT tripthread.hide_deleted('chat.traces', 'coalesce(accepted_at, started_at)');

-- Of one from outside `revision` is -1, so that a turn's own is greater, and `rank` 0 while it runs, else 1. Of two the greater
-- (rank, accepted_at, event_id) says what is so, whichever comes first; what it leaves out the other one says.

DROP INDEX chat.traces_of_session;  -- without an order among those of one moment
CREATE INDEX traces_of_session ON chat.traces (user_id, session_id, started_at DESC, trace_id DESC);
CREATE INDEX traces_by_model ON chat.traces (user_id, model, started_at DESC, trace_id DESC);
CREATE INDEX traces_not_ok ON chat.traces (user_id, status, started_at DESC, trace_id DESC) WHERE status <> 'ok';
CREATE INDEX traces_by_own_tag ON chat.traces (session_tag COLLATE "C", user_id, started_at DESC) WHERE session_tag IS NOT NULL;
CREATE INDEX traces_by_w3c_trace_id ON chat.traces (w3c_trace_id, user_id) WHERE w3c_trace_id IS NOT NULL;
CREATE INDEX traces_of_all ON chat.traces (started_at DESC, trace_id DESC, user_id DESC);  -- for administrators
