-- Sessions that are older than they are to be kept are deleted as their users would delete them, but only where nobody is just
-- using them. So a row is proposed first: from its commit on no claim gets the session, and what was claimed without knowing of
-- it is found when those transactions are over. Then the row is either a deletion as any other, or gone.
ALTER TABLE gateway.deletions
    ADD COLUMN is_proposed boolean NOT NULL DEFAULT false;  -- nobody is told of it, and nothing is swept, yet
CREATE INDEX deletions_proposed ON gateway.deletions (deleted_at) WHERE is_proposed;
