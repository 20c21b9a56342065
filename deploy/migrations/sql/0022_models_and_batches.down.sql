ALTER TABLE chat.sessions DROP COLUMN mixed;
ALTER TABLE tagging.session_tags DROP COLUMN mixed, DROP COLUMN reserved_at;
ALTER TABLE tagging.models DROP COLUMN renamed_by, DROP COLUMN renamed_at, DROP COLUMN display_name;
