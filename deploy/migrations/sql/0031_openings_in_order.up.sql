-- A list of sessions has those, too, that were opened and are not stored yet: the newest of each owner.
CREATE INDEX session_openings_in_order ON gateway.session_openings (user_id, accepted_at DESC);
