DROP INDEX tagging.session_tags_by_tag;
CREATE INDEX session_tags_by_tag ON tagging.session_tags (user_id, session_tag);
ALTER TABLE tagging.session_tags DROP CONSTRAINT session_tags_number;
ALTER TABLE tagging.session_tags ADD CONSTRAINT session_tags_number UNIQUE (user_id, model_id, since, number);
