DROP TABLE workflow.notes;
ALTER TABLE workflow.proposals DROP COLUMN said_at, DROP COLUMN unsaid;
ALTER TABLE workflow.quotes DROP COLUMN said_at, DROP COLUMN unsaid;
