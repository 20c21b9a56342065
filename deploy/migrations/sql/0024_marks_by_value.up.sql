-- What a mark is on is found by its value, also while the server does not know how large the table is. An index that begins
-- with the user is no better to its readers' policy than the primary key then, which reads all marks of that user: see
-- 0019_tags_by_key. The user stands before the value, so that one name leads to the next of the same user.
CREATE INDEX session_marks_in_order ON chat.session_marks (archived, kind, user_id, value, session_id);
DROP INDEX chat.session_marks_by_value;
