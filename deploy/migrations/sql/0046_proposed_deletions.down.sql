-- A release from before takes what is proposed for deleted.
DELETE FROM gateway.deletions WHERE is_proposed;
DROP INDEX gateway.deletions_proposed;
ALTER TABLE gateway.deletions DROP COLUMN is_proposed;
