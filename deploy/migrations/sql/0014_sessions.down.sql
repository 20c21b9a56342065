DROP TABLE gateway.session_openings;
DROP TRIGGER marked_new ON chat.sessions;
DROP TRIGGER marked_again ON chat.sessions;
DROP TRIGGER marked_no_more ON chat.sessions;
DROP FUNCTION chat.mark_session();
DROP TABLE chat.session_marks;
CREATE INDEX sessions_by_activity ON chat.sessions (user_id, last_activity_at DESC, session_id DESC)
    WHERE deleted_at IS NULL;
DROP INDEX chat.sessions_in_order;
