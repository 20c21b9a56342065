CREATE INDEX conversation_reads_by_time ON chat.conversation_reads (occurred_at DESC, read_id DESC);
CREATE INDEX conversation_reads_of_user ON chat.conversation_reads (user_id);
DROP INDEX chat.conversation_reads_of_user_in_order, chat.conversation_reads_by_operator, chat.conversation_reads_of_all;
ALTER TABLE chat.conversation_reads DROP COLUMN kind, DROP COLUMN items;
