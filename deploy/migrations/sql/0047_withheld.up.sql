-- Turns that are no responses any more to clients of OpenAI's, by `store: false` or a `DELETE`. What was said stays in its session.
CREATE TABLE gateway.withheld_responses (
    user_id text COLLATE "C" NOT NULL,
    turn_id uuid NOT NULL,
    session_id text COLLATE "C" NOT NULL,        -- with which the row goes
    withheld_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, turn_id)
);
CREATE INDEX withheld_responses_of_session ON gateway.withheld_responses (user_id, session_id);
SELECT tripthread.protect('gateway.withheld_responses', 'tripthread_gateway', 'user_id');
SELECT tripthread.hide_deleted('gateway.withheld_responses', 'withheld_at');

-- By a response's id its answer is found once its turn's row is gone.
CREATE INDEX messages_by_turn ON chat.messages (user_id, turn_id) WHERE role = 'assistant';
