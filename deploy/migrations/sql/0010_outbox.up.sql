-- gateway.turns is the outbox of all that the gateway accepts for a session: what is said is read from here until it can
-- be read where it is stored, and a day later the row goes.

ALTER TABLE gateway.turns
    ADD COLUMN stored_at timestamptz,  -- when all that it says was seen in chat.messages; none: not yet
    ADD COLUMN retold_at timestamptz,  -- when its events were published once more, as nobody had stored them
    ADD COLUMN past jsonb,   -- [{attempt, answer, answered_at}] of attempts before this one that nobody was told of yet
    ADD COLUMN taken jsonb;  -- {role: true} of its messages that their client has stored itself as well

-- `posted`: a message that its client stores itself, and that nobody answers.
ALTER TABLE gateway.turns
    DROP CONSTRAINT turns_state_check,
    DROP CONSTRAINT turns_check,
    ADD CONSTRAINT turns_state_check
        CHECK (state IN ('running', 'posted', 'complete', 'stopped', 'interrupted', 'failed')),
    ADD CONSTRAINT turns_check CHECK ((state IN ('running', 'posted')) = (answer IS NULL));

-- What nobody has stored yet is little, and all that a request looks at.
CREATE INDEX turns_unstored ON gateway.turns (user_id, session_id, place) WHERE stored_at IS NULL;
DROP INDEX gateway.turns_by_time;  -- of lists of sessions, which look at the former now
-- Rows are written about in the order of their time, so a summary of each stretch of the table finds the old ones.
CREATE INDEX turns_to_trim ON gateway.turns USING brin (asked_at);
