-- workflow.deliveries: a notice whose bytes can't be read is `unreadable`, other than one that was read and is `refused`.
ALTER TABLE workflow.deliveries DROP CONSTRAINT deliveries_state_check;
ALTER TABLE workflow.deliveries ADD CONSTRAINT deliveries_state_check
    CHECK (state IN ('due', 'done', 'unmatched', 'refused', 'ignored', 'unreadable'));
UPDATE workflow.deliveries SET state = 'unreadable', error = substr(error, length('unreadable: ') + 1)
WHERE state = 'refused' AND starts_with(error, 'unreadable: ');
CREATE INDEX deliveries_unreadable ON workflow.deliveries (received_at) WHERE state = 'unreadable';
