-- What a client that knows no session goes on from: a hash of all that it sent, and of the answer.
ALTER TABLE chat.messages ADD COLUMN conversation text COLLATE "C";  -- of answers; none: its client names its sessions
CREATE INDEX messages_by_conversation ON chat.messages (user_id, conversation) WHERE conversation IS NOT NULL;
-- The same of answers that may not be stored yet.
CREATE INDEX turns_by_conversation ON gateway.turns (user_id, (answer ->> 'history'))
    WHERE answer ->> 'history' IS NOT NULL;
