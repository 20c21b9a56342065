ALTER TABLE chat.traces DROP COLUMN upstream;
