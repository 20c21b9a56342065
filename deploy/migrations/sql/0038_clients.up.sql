-- From where messages come: for administrators, and for their user's own export.
ALTER TABLE chat.messages ADD COLUMN client jsonb;  -- {address, user_agent}: the address' /24 or /48; as far as they are kept
-- Of the session's first and last message of which it is known: {when, address, user agent}, which may be ''. So spelled the
-- first is the least and the last is the greatest, whichever comes first.
ALTER TABLE chat.sessions
    ADD COLUMN first_client text[] COLLATE "C",
    ADD COLUMN last_client text[] COLLATE "C";
