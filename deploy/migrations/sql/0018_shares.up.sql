-- A share shows a session as it was at that moment, and so its title, which may be changed since.
ALTER TABLE gateway.shares ADD COLUMN title text;
