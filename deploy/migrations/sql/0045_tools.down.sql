-- What waits for its user, or goes on after they have answered, ends with what it has.
UPDATE gateway.turns SET state = 'interrupted', answer = jsonb_build_object('content', '', 'parts', coalesce(partial_parts, '[]'),
    'status', 'interrupted', 'error', NULL, 'trace', NULL, 'revision', revision)
    WHERE state = 'running' AND answered_at IS NOT NULL;
DROP INDEX gateway.turns_waiting;
ALTER TABLE gateway.turns
    DROP CONSTRAINT turns_check1,
    ADD CONSTRAINT turns_check1 CHECK ((answer IS NULL) = (answered_at IS NULL));
ALTER TABLE gateway.turns
    DROP COLUMN partial_rounds,
    DROP COLUMN revision,
    DROP COLUMN carried,
    DROP COLUMN waits_until;
