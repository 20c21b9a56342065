DROP TABLE workflow.proposal_sends;
ALTER POLICY reader ON workflow.proposals USING (trip_id IN (SELECT t.trip_id FROM workflow.trip_sessions t
    WHERE t.user_id = ANY (tripthread.user_ids()) AND t.deleted_at IS NULL));
DROP INDEX workflow.proposals_of_session, workflow.proposals_untold;
ALTER TABLE workflow.proposals
    DROP CONSTRAINT proposals_sent,
    DROP COLUMN user_id, DROP COLUMN session_id, DROP COLUMN accepted_at, DROP COLUMN state, DROP COLUMN changed_at,
    DROP COLUMN changed_by, DROP COLUMN updated_at, DROP COLUMN told_at;
