-- What people set of a trip, settled field by field.
ALTER TABLE workflow.trips
    ADD COLUMN field_stamps jsonb NOT NULL DEFAULT '{}',  -- per field that was set: [accepted_at, event_id] of its last writer
    ADD COLUMN paused_at timestamptz;            -- when it was set aside: paused until something happens after that

-- The intent to cancel a trip at Avinode, committed before the call. To cancel once more is the same there, so it is asked
-- for until there is an answer: intended -> done, or refused; and from refused to intended where its user asks again.
CREATE TABLE workflow.cancellations (
    trip_id uuid PRIMARY KEY REFERENCES workflow.trips ON DELETE CASCADE,
    reason text NOT NULL CHECK (reason IN ('BY_CLIENT', 'CHANGED', 'BOOKED', 'OTHER')),
    message text,                                -- to the operators
    state text NOT NULL DEFAULT 'intended' CHECK (state IN ('intended', 'done', 'refused')),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id uuid NOT NULL,
    accepted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX cancellations_due ON workflow.cancellations (due_at) WHERE state = 'intended';
SELECT workflow.protect_trip('workflow.cancellations');
