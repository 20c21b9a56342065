-- Which administrator was shown what of whom, when and why: `ConversationRead`. What they asked for, and why, is in `query`.
ALTER TABLE chat.conversation_reads
    ADD COLUMN kind text NOT NULL DEFAULT 'sessions',  -- of what: messages, sessions, an export, ...
    ADD COLUMN items integer NOT NULL DEFAULT 1 CHECK (items > 0);  -- how many of it
-- The list of reads: of one user, by one administrator, and of all, whose index only who says `items > 0` may be planned by.
CREATE INDEX conversation_reads_of_user_in_order ON chat.conversation_reads (user_id, occurred_at DESC, read_id DESC);
CREATE INDEX conversation_reads_by_operator ON chat.conversation_reads (operator, occurred_at DESC, read_id DESC);
CREATE INDEX conversation_reads_of_all ON chat.conversation_reads (occurred_at DESC, read_id DESC) WHERE items > 0;
DROP INDEX chat.conversation_reads_of_user, chat.conversation_reads_by_time;
