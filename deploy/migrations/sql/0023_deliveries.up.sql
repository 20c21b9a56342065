-- What administrators see of notices, and do: who last had one worked again, and finding them by state and by trip.
-- `kept_at` is when the row was written, by this server's clock, as a fetch's time is: whatever was fetched afterwards was
-- fetched with what the notice tells of. NULL: nobody knows.
ALTER TABLE workflow.deliveries ADD COLUMN kept_at timestamptz, ADD COLUMN reprocessed_by text,
    ADD COLUMN reprocessed_at timestamptz;
ALTER TABLE workflow.deliveries ALTER COLUMN kept_at SET DEFAULT clock_timestamp();
CREATE INDEX deliveries_by_state ON workflow.deliveries (state, received_at DESC, delivery_id DESC);
CREATE INDEX deliveries_by_trip ON workflow.deliveries (trip_code, received_at DESC, delivery_id DESC)
    WHERE trip_code IS NOT NULL;
