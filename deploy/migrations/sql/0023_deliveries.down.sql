DROP INDEX workflow.deliveries_by_trip;
DROP INDEX workflow.deliveries_by_state;
ALTER TABLE workflow.deliveries DROP COLUMN reprocessed_at, DROP COLUMN reprocessed_by, DROP COLUMN kept_at;
