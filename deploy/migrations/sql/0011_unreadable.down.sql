DROP INDEX workflow.deliveries_unreadable;
UPDATE workflow.deliveries SET state = 'refused', error = 'unreadable: ' || error WHERE state = 'unreadable';
ALTER TABLE workflow.deliveries DROP CONSTRAINT deliveries_state_check;
ALTER TABLE workflow.deliveries ADD CONSTRAINT deliveries_state_check
    CHECK (state IN ('due', 'done', 'unmatched', 'refused', 'ignored'));
