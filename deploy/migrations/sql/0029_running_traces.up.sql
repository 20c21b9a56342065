-- chat.traces: those that run, of everybody. Nearly all rows are of calls that are over, so to look for the few among them took as
-- long as there are rows.
CREATE INDEX traces_running ON chat.traces (started_at DESC, trace_id DESC, user_id DESC) WHERE status = 'running';
