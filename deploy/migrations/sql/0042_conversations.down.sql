DROP INDEX gateway.turns_by_conversation;
ALTER TABLE chat.messages DROP COLUMN conversation;
