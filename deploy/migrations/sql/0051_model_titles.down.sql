-- A model's title goes on as a message's: nobody's own, and replaced by none.
UPDATE chat.sessions SET title_source = 'message' WHERE title_source = 'model';
ALTER TABLE chat.sessions DROP CONSTRAINT sessions_title_source_check,
    ADD CONSTRAINT sessions_title_source_check CHECK (title_source IN ('none', 'message', 'user'));
