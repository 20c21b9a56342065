ALTER TABLE chat.sessions DROP COLUMN first_client, DROP COLUMN last_client;
ALTER TABLE chat.messages DROP COLUMN client;
