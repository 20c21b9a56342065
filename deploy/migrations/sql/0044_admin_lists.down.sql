DROP TABLE gateway.queue_minutes;
ALTER TABLE gateway.erasures DROP COLUMN operator;
DROP INDEX chat.messages_of_user;
