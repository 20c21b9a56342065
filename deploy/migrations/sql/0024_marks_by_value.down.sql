CREATE INDEX session_marks_by_value ON chat.session_marks (user_id, archived, kind, value, session_id);
DROP INDEX chat.session_marks_in_order;
