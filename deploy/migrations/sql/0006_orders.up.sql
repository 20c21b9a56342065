-- Trips that were never read are read first, however many are due again.
CREATE INDEX trips_unread ON workflow.trips (due_at)
    WHERE closed_at IS NULL AND last_checked_at IS NULL AND (avinode_trip_id IS NOT NULL OR trip_code IS NOT NULL);
