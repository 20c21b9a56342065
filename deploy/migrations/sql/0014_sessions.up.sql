-- Lists of sessions, and sessions that were opened and are not stored yet.

-- Every list asks for what is archived or for what is not, and reads pinned and other sessions by a walk each.
-- `sessions_by_activity` goes: the planner would walk along it past everything that is archived, and each message would
-- write to both. A gateway of the release before finds its pages by the new one and a sort.
CREATE INDEX sessions_in_order ON chat.sessions (user_id, archived, pinned, last_activity_at DESC, session_id DESC)
    WHERE deleted_at IS NULL;
DROP INDEX chat.sessions_by_activity;

-- By what sessions are found: each label, the folder, helper, project and model of each session, as its row has them. A
-- trigger keeps it so, since a message seldom changes one of these but moves its session, and would write to an index of
-- each column on the table itself: 5 of 39 µs for each of them, where the trigger takes 5 for all. An array's index
-- would serve nobody: under row-level security `@>`, which is not leakproof, waits for the policy.
CREATE TABLE chat.session_marks (
    user_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('label', 'folder', 'helper', 'project_id', 'model')),
    value text COLLATE "C" NOT NULL,
    archived boolean NOT NULL,                   -- as the session
    PRIMARY KEY (user_id, session_id, kind, value)
);
CREATE INDEX session_marks_by_value ON chat.session_marks (user_id, archived, kind, value, session_id);
SELECT tripthread.protect('chat.session_marks', 'tripthread_logger', 'user_id');

CREATE FUNCTION chat.mark_session() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM chat.session_marks WHERE user_id = OLD.user_id AND session_id = OLD.session_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN
        INSERT INTO chat.session_marks (user_id, session_id, kind, value, archived)
        SELECT NEW.user_id, NEW.session_id, kind, value, NEW.archived
        FROM (
            VALUES ('folder', NEW.folder), ('helper', NEW.helper), ('project_id', NEW.project_id), ('model', NEW.model)
            UNION SELECT 'label', unnest(NEW.labels)
        ) AS mark (kind, value)
        WHERE value IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER marked_new AFTER INSERT ON chat.sessions FOR EACH ROW
    WHEN (NEW.model IS NOT NULL OR NEW.project_id IS NOT NULL OR NEW.helper IS NOT NULL OR NEW.folder IS NOT NULL
        OR NEW.labels <> '{}')
    EXECUTE FUNCTION chat.mark_session();
CREATE TRIGGER marked_again AFTER UPDATE ON chat.sessions FOR EACH ROW
    WHEN ((OLD.model, OLD.project_id, OLD.helper, OLD.folder, OLD.labels, OLD.archived, OLD.deleted_at)
        IS DISTINCT FROM (NEW.model, NEW.project_id, NEW.helper, NEW.folder, NEW.labels, NEW.archived, NEW.deleted_at))
    EXECUTE FUNCTION chat.mark_session();
CREATE TRIGGER marked_no_more AFTER DELETE ON chat.sessions FOR EACH ROW EXECUTE FUNCTION chat.mark_session();
INSERT INTO chat.session_marks (user_id, session_id, kind, value, archived)
SELECT user_id, session_id, kind, value, archived
FROM chat.sessions CROSS JOIN LATERAL (
    VALUES ('folder', folder), ('helper', helper), ('project_id', project_id), ('model', model)
    UNION SELECT 'label', unnest(labels)
) AS mark (kind, value)
WHERE value IS NOT NULL AND deleted_at IS NULL;

-- Equal creations of one user find the first one here, at any gateway; and a session is shown from here until the logger
-- has it. The broker has the event; a row goes after a day.
CREATE TABLE gateway.session_openings (
    user_id text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,                    -- of the creation; where its id is fixed, of that
    session_id text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,                      -- of its SessionOpened: a repeat publishes the same one
    accepted_at timestamptz NOT NULL,
    opening jsonb NOT NULL,                      -- fields of that event
    PRIMARY KEY (user_id, body_hash)
);
CREATE INDEX session_openings_of_session ON gateway.session_openings (user_id, session_id);
CREATE INDEX session_openings_by_time ON gateway.session_openings (accepted_at);
SELECT tripthread.protect('gateway.session_openings', 'tripthread_gateway', 'user_id');
