DROP TABLE workflow.cancellations;
ALTER TABLE workflow.trips DROP COLUMN field_stamps, DROP COLUMN paused_at;
