-- Every order of a trip is a row with what became of it: also an attachment, and one that lost to another.
ALTER TABLE workflow.requests
    ADD COLUMN kind text NOT NULL DEFAULT 'request' CHECK (kind IN ('request', 'attachment')),
    ADD COLUMN promised_trip_id uuid,            -- by which its caller may ask for it, whichever trip it turns out to be
    ADD COLUMN reference text,                   -- of an attachment: what the trip is called at Avinode
    ADD COLUMN code text,                        -- why it was refused or lost, for programs; `error` says it in words
    ALTER COLUMN segments DROP NOT NULL,
    ALTER COLUMN pax DROP NOT NULL,
    -- The trip that it became. Of one that lost to the trip that its session had, that trip; of one that lost to
    -- somebody else, none.
    ALTER COLUMN trip_id DROP NOT NULL,
    -- A request: intended -> sending -> created, refused or unconfirmed (nobody can tell whether Avinode acted on it);
    -- back to intended only where it surely was not sent, from unconfirmed to created where the trip turns up.
    -- An attachment: attaching -> attached once Avinode has shown the trip, or refused where it knows none.
    -- Either: lost, for good, where another order came first.
    DROP CONSTRAINT requests_state_check,
    ADD CONSTRAINT requests_state_check CHECK (state IN ('intended', 'sending', 'created', 'refused', 'unconfirmed',
        'attaching', 'attached', 'lost'));

-- Two requests of one trip, should there be any, cannot both be found by its id.
UPDATE workflow.requests r SET promised_trip_id = CASE
        WHEN request_id = (SELECT first.request_id FROM workflow.requests first WHERE first.trip_id = r.trip_id
            ORDER BY first.created_at, first.request_id LIMIT 1) THEN trip_id
        ELSE request_id END,
    code = CASE state WHEN 'refused' THEN 'avinode_refused' END;

ALTER TABLE workflow.requests
    ALTER COLUMN promised_trip_id SET NOT NULL,
    ADD CONSTRAINT requests_promised UNIQUE (promised_trip_id),
    ADD CONSTRAINT requests_asked CHECK (kind = 'attachment' OR (segments IS NOT NULL AND pax IS NOT NULL)),
    ADD CONSTRAINT requests_reference CHECK ((kind = 'attachment') = (reference IS NOT NULL)),
    ADD CONSTRAINT requests_trip CHECK (trip_id IS NOT NULL OR state = 'lost'),
    ADD CONSTRAINT requests_reason CHECK (state <> 'lost' OR code IS NOT NULL);

-- While an older workflow still runs, its rows promise the trip that they make. To be dropped once none does.
CREATE FUNCTION workflow.promise_trip() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.promised_trip_id := coalesce(NEW.promised_trip_id, NEW.trip_id);
    RETURN NEW;
END
$$;
CREATE TRIGGER promise_trip BEFORE INSERT ON workflow.requests
    FOR EACH ROW EXECUTE FUNCTION workflow.promise_trip();

-- Whoever lost a race sees no trip, but their own order.
ALTER POLICY reader ON workflow.requests USING (user_id = ANY (tripthread.user_ids()));

-- Trips that were never read are read first, however many are due again.
CREATE INDEX trips_unread ON workflow.trips (due_at)
    WHERE closed_at IS NULL AND last_checked_at IS NULL AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL);

-- Why nobody calls Avinode at the moment: one row, joined when a trip that waits for it is read.
CREATE TABLE workflow.avinode_status (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    refusal text,                                -- in words for users; null: it is called
    held_until timestamptz,                      -- past it the row says nothing any more, should nobody have cleared it
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((refusal IS NULL) = (held_until IS NULL))
);
INSERT INTO workflow.avinode_status DEFAULT VALUES;
SELECT tripthread.protect('workflow.avinode_status', 'tripthread_workflow', NULL);
