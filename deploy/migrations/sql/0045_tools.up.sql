-- gateway.turns: a turn calls tools, in rounds, and may wait for its user in between; then it goes on as the same answer.
ALTER TABLE gateway.turns
    ADD COLUMN partial_rounds jsonb,                   -- traces of the model's calls that are over, while it runs
    ADD COLUMN revision integer NOT NULL DEFAULT 0,    -- of the answer that is made while it runs; see waits_until
    ADD COLUMN carried integer NOT NULL DEFAULT 0,     -- parts that this revision has of the one before
    ADD COLUMN waits_until timestamptz;                -- when it is too late for its user to answer; none: it does not wait

-- While it goes on after its user has answered, its answer keeps its place.
ALTER TABLE gateway.turns
    DROP CONSTRAINT turns_check1,
    ADD CONSTRAINT turns_check1 CHECK (answer IS NULL OR answered_at IS NOT NULL);

CREATE INDEX turns_waiting ON gateway.turns (user_id, session_id) WHERE waits_until IS NOT NULL;
