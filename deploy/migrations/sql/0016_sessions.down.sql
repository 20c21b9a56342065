DROP TABLE gateway.session_openings;
DROP TRIGGER marked_new ON chat.sessions;
DROP TRIGGER marked_again ON chat.sessions;
DROP TRIGGER marked_no_more ON chat.sessions;
DROP FUNCTION chat.mark_session();
CREATE TABLE chat.session_labels (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    archived boolean NOT NULL,
    PRIMARY KEY (user_id, session_id, label),
    FOREIGN KEY (user_id, session_id) REFERENCES chat.sessions ON DELETE CASCADE
);
CREATE INDEX session_labels_by_label ON chat.session_labels (user_id, archived, label, session_id);
SELECT tripthread.protect('chat.session_labels', 'tripthread_logger', 'user_id');
INSERT INTO chat.session_labels (user_id, session_id, label, archived)
SELECT user_id, session_id, value, archived FROM chat.session_marks WHERE kind = 'label';
DROP TABLE chat.session_marks;
CREATE INDEX sessions_by_activity ON chat.sessions (user_id, last_activity_at DESC, session_id DESC)
    WHERE deleted_at IS NULL;
DROP INDEX chat.sessions_in_order;
