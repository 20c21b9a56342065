DROP TABLE workflow.avinode_status;
DROP INDEX workflow.trips_unread;
ALTER POLICY reader ON workflow.requests USING (trip_id IN (SELECT t.trip_id FROM workflow.trip_sessions t
    WHERE t.user_id = ANY (tripthread.user_ids()) AND t.deleted_at IS NULL));
DROP TRIGGER promise_trip ON workflow.requests;
DROP FUNCTION workflow.promise_trip();
DELETE FROM workflow.requests WHERE kind = 'attachment' OR state = 'lost';
ALTER TABLE workflow.requests
    DROP CONSTRAINT requests_state_check, DROP CONSTRAINT requests_asked, DROP CONSTRAINT requests_reference,
    DROP CONSTRAINT requests_trip, DROP CONSTRAINT requests_reason,
    DROP COLUMN kind, DROP COLUMN promised_trip_id, DROP COLUMN reference, DROP COLUMN code,
    ALTER COLUMN segments SET NOT NULL,
    ALTER COLUMN pax SET NOT NULL,
    ALTER COLUMN trip_id SET NOT NULL;
ALTER TABLE workflow.requests ADD CONSTRAINT requests_state_check
    CHECK (state IN ('intended', 'sending', 'created', 'refused', 'unconfirmed'));
