-- Whose calls were refused most on a day, for administrators. Turns count in the same rows and change nothing that this is about, so
-- their updates stay in their page.
CREATE INDEX usage_refused ON gateway.usage (day, refused DESC, user_id DESC) WHERE refused > 0;
