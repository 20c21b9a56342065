-- chat.session_labels: each label of each session, as its row in chat.sessions has them, by which sessions are found: an
-- index of the array itself would be used for nobody under row-level security (`@>` is not leakproof).
CREATE TABLE chat.session_labels (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    archived boolean NOT NULL,                   -- as the session
    PRIMARY KEY (user_id, session_id, label),
    FOREIGN KEY (user_id, session_id) REFERENCES chat.sessions ON DELETE CASCADE
);
CREATE INDEX session_labels_by_label ON chat.session_labels (user_id, archived, label, session_id);
SELECT tripthread.protect('chat.session_labels', 'tripthread_logger', 'user_id');
