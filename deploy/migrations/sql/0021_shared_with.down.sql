DROP FUNCTION gateway.shared_one, gateway.shared_page;
DROP TABLE gateway.shared_with;
DELETE FROM gateway.shares WHERE token_hash IS NULL;
ALTER TABLE gateway.shares
    DROP COLUMN session_project,
    DROP COLUMN project_id,
    ALTER COLUMN token_hash SET NOT NULL;
