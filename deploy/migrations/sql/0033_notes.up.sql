-- Notes: what the workflow tells the chat. Each has the time at which it is told, committed before it is published first: a
-- repeat says the same, and a note stands after whatever was read before it. A time of before a quote's `seen_at` is of an
-- earlier revision. `unsaid` is why a note can't be told at all; nobody tries it again.
ALTER TABLE workflow.quotes ADD COLUMN said_at timestamptz, ADD COLUMN unsaid text;
ALTER TABLE workflow.proposals ADD COLUMN said_at timestamptz, ADD COLUMN unsaid text;

-- Those that are about no row of their own: written in the transaction of what they tell of, and pending until told.
CREATE TABLE workflow.notes (
    note_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    trip_id uuid NOT NULL REFERENCES workflow.trips ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('decline', 'cancellation')),
    -- What it is about, once: of a decline after which no answer is awaited, how many operators were asked and how many
    -- of them have quoted, `3/1`; of a cancellation nothing, since a trip is cancelled once.
    subject text NOT NULL DEFAULT '',
    says jsonb NOT NULL DEFAULT '{}',
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    said_at timestamptz,
    told_at timestamptz,
    unsaid text,
    UNIQUE (trip_id, kind, subject)
);
CREATE INDEX notes_untold ON workflow.notes (noted_at) WHERE told_at IS NULL AND unsaid IS NULL;
SELECT workflow.protect_trip('workflow.notes');

-- What was so before this revision is no news.
INSERT INTO workflow.notes (trip_id, kind, subject, said_at, told_at)
SELECT trip_id, 'decline', operators_contacted_count || '/' || quotes_expected_count, clock_timestamp(), clock_timestamp()
FROM workflow.trips t
WHERE quotes_expected_count = quotes_received_count
    AND EXISTS (SELECT FROM workflow.rfqs r WHERE r.trip_id = t.trip_id AND r.declined AND NOT r.canceled);
