-- Models have names for people, sessions are reserved with their tags before anything is said in them, and whether a
-- session has changed models is known.
ALTER TABLE tagging.models
    ADD COLUMN display_name text,                -- what people call it; none: as `name`
    ADD COLUMN renamed_at timestamptz,           -- occurred_at and id of the event that wrote that last; none: no word yet
    ADD COLUMN renamed_by uuid;

ALTER TABLE tagging.session_tags
    ADD COLUMN reserved_at timestamptz,          -- accepted_at of the batch that reserved it; none: a message brought it
    ADD COLUMN mixed boolean NOT NULL DEFAULT false;  -- it had another model's tag when its batch came

-- Its messages name more than one model. Of sessions of before this revision only what is said from now on counts.
ALTER TABLE chat.sessions ADD COLUMN mixed boolean NOT NULL DEFAULT false;
