DROP FUNCTION gateway.begin_turns(
    uuid[], text[], text[], text[], bytea[], text[], uuid[], text[], text[], text[], text[], text[], jsonb[], jsonb[],
    uuid[], text[], integer[], timestamptz[], timestamptz[], integer);
DROP FUNCTION gateway.is_gone(text, text);
DROP FUNCTION workflow.is_forsaken(uuid);
DROP FUNCTION workflow.is_gone(text, text, timestamptz);
DROP INDEX workflow.requests_of_session;
DROP TABLE workflow.bans, workflow.deleted_sessions;
DELETE FROM tagging.session_tags t USING tagging.counters c
WHERE (t.user_id, t.model_id) = (c.user_id, c.model_id) AND t.since < c.since;
ALTER TABLE tagging.session_tags DROP CONSTRAINT session_tags_number;
ALTER TABLE tagging.session_tags DROP COLUMN since;
ALTER TABLE tagging.session_tags ADD CONSTRAINT session_tags_user_id_model_id_number_key
    UNIQUE (user_id, model_id, number);
ALTER TABLE tagging.counters DROP COLUMN since;
DROP INDEX chat.conversation_reads_of_user, chat.dead_letters_of_user, chat.dead_letters_of_nobody, chat.sessions_unswept;
ALTER TABLE chat.sessions DROP COLUMN swept_at, DROP COLUMN noted_at, DROP COLUMN noted_by;
DROP INDEX chat.erased_users_undone, tagging.erased_users_undone, workflow.erased_users_undone;
ALTER TABLE workflow.erased_users DROP COLUMN done_at, DROP COLUMN noted_at, DROP COLUMN noted_by, DROP COLUMN event_id,
    DROP COLUMN user_id;
ALTER TABLE tagging.erased_users DROP COLUMN done_at, DROP COLUMN noted_at, DROP COLUMN noted_by, DROP COLUMN event_id,
    DROP COLUMN user_id;
ALTER TABLE chat.erased_users DROP COLUMN done_at, DROP COLUMN noted_at, DROP COLUMN noted_by, DROP COLUMN event_id,
    DROP COLUMN user_id;
ALTER POLICY reader ON chat.sessions USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON chat.session_marks USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON gateway.session_openings USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON chat.messages USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON chat.traces USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON chat.feedback USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON chat.templates USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON tagging.session_tags USING (user_id = ANY (tripthread.user_ids()));
ALTER TABLE tagging.session_tags DROP COLUMN accepted_at;
ALTER POLICY reader ON workflow.trip_sessions USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON workflow.requests USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON gateway.turns USING (user_id = ANY (tripthread.user_ids()));
ALTER POLICY reader ON gateway.shares USING (user_id = ANY (tripthread.user_ids()));
DROP FUNCTION tripthread.hide_deleted(regclass, text, text);
DROP FUNCTION tripthread.is_hidden(text, text, timestamptz);
DROP FUNCTION tripthread.read_as(text[]);
DROP TABLE gateway.erasures, gateway.deletions;
DROP FUNCTION tripthread.user_hashes();
DROP FUNCTION tripthread.user_hash(text);
