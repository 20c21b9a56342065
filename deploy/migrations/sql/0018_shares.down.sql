ALTER TABLE gateway.shares DROP COLUMN title;
