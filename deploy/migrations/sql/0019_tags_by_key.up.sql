-- A session's tag is found by user and session, also while the server does not know how large the table is. To its readers'
-- policy every index that begins with the user is as good as the primary key then, and reads all that the user has: so no
-- other begins with the user.
ALTER TABLE tagging.session_tags DROP CONSTRAINT session_tags_number;
ALTER TABLE tagging.session_tags ADD CONSTRAINT session_tags_number UNIQUE (model_id, number, user_id, since);
DROP INDEX tagging.session_tags_by_tag;
CREATE INDEX session_tags_by_tag ON tagging.session_tags (session_tag, user_id);
