-- Proposals: prepared from quotes, and sent. `workflow.proposals` has had no writer before, so it has no rows.
ALTER TABLE workflow.proposals
    ADD COLUMN user_id text COLLATE "C" NOT NULL,     -- who prepared it, in which session: it goes with either
    ADD COLUMN session_id text COLLATE "C" NOT NULL,
    ADD COLUMN accepted_at timestamptz NOT NULL,      -- when a gateway accepted that, by the database's clock
    -- prepared -> sending -> sent, failed or unconfirmed (nobody can tell whether the mail went out); sending -> by_hand
    -- where it is not to be mailed. failed -> sending, and unconfirmed -> by_hand, when somebody says so.
    ADD COLUMN state text NOT NULL DEFAULT 'prepared'
        CHECK (state IN ('prepared', 'sending', 'sent', 'by_hand', 'failed', 'unconfirmed')),
    -- What it says is that of the event with the greatest (changed_at, changed_by).
    ADD COLUMN changed_at timestamptz NOT NULL,
    ADD COLUMN changed_by uuid NOT NULL,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN told_at timestamptz,                   -- when the chat was told that it was sent
    ADD CONSTRAINT proposals_sent CHECK ((sent_at IS NOT NULL) = (state IN ('sent', 'by_hand')));
CREATE INDEX proposals_of_session ON workflow.proposals (user_id, session_id);
CREATE INDEX proposals_untold ON workflow.proposals (sent_at) WHERE sent_at IS NOT NULL AND told_at IS NULL;

-- The intent row of a sending: committed before anybody is mailed, so that a wish is mailed at most once. Each wish has one.
CREATE TABLE workflow.proposal_sends (
    event_id uuid PRIMARY KEY,                        -- of the wish
    proposal_id uuid NOT NULL REFERENCES workflow.proposals ON DELETE CASCADE,
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    user_id text COLLATE "C" NOT NULL,                -- who wished it, in which session
    session_id text COLLATE "C" NOT NULL,
    recipients text[] NOT NULL DEFAULT '{}',          -- none: it is sent by hand
    subject text,
    message text,
    -- intended -> sending -> sent, by_hand, failed or unconfirmed; lost where the proposal could not be sent.
    state text NOT NULL DEFAULT 'intended'
        CHECK (state IN ('intended', 'sending', 'sent', 'by_hand', 'failed', 'unconfirmed', 'lost')),
    code text,                                        -- why it is lost, for programs; `error` says it in words
    error text,
    created_at timestamptz NOT NULL,                  -- when a gateway accepted the wish, by the database's clock
    began_at timestamptz,                             -- when it was taken to be mailed
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((state = 'lost') = (code IS NOT NULL))
);
CREATE INDEX proposal_sends_due ON workflow.proposal_sends (created_at) WHERE state IN ('intended', 'sending');
CREATE INDEX proposal_sends_of_proposal ON workflow.proposal_sends (proposal_id, created_at);
CREATE INDEX proposal_sends_of_trip ON workflow.proposal_sends (trip_id);
CREATE INDEX proposal_sends_of_session ON workflow.proposal_sends (user_id, session_id);
SELECT workflow.protect_trip('workflow.proposal_sends');

-- Whoever sees the trip sees these, but for what its own reader has deleted.
ALTER POLICY reader ON workflow.proposals USING (
    trip_id IN (SELECT t.trip_id FROM workflow.trip_sessions t
        WHERE t.user_id = ANY (tripthread.user_ids()) AND t.deleted_at IS NULL)
    AND ((SELECT current_setting('app.hides', true) = 'no')
        OR NOT tripthread.is_hidden(user_id, session_id, accepted_at)));
ALTER POLICY reader ON workflow.proposal_sends USING (
    trip_id IN (SELECT t.trip_id FROM workflow.trip_sessions t
        WHERE t.user_id = ANY (tripthread.user_ids()) AND t.deleted_at IS NULL)
    AND ((SELECT current_setting('app.hides', true) = 'no')
        OR NOT tripthread.is_hidden(user_id, session_id, created_at)));
