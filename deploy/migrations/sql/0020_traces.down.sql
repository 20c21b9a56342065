SELECT tripthread.hide_deleted('chat.traces', 'started_at');
DROP INDEX chat.traces_of_all, chat.traces_by_w3c_trace_id, chat.traces_by_own_tag, chat.traces_not_ok, chat.traces_by_model;
DROP INDEX chat.traces_of_session;
CREATE INDEX traces_of_session ON chat.traces (user_id, session_id, started_at DESC);
ALTER TABLE chat.traces
    DROP COLUMN source, DROP COLUMN w3c_trace_id, DROP COLUMN helper, DROP COLUMN experiment_name, DROP COLUMN error_class,
    DROP COLUMN cost, DROP COLUMN currency, DROP COLUMN accepted_at;
