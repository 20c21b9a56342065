-- What has changed since: for the look by which a gateway makes good the hints that its listeners were not told.
--
-- A block range knows the newest time stamp that was ever written into it, so a look reads the ranges that were written
-- to lately, whosever rows they are, and nothing else. A message moves its session's time stamp, and a B-tree would cost
-- the logger a seventh of its statement for that; this is not measurable. Ranges that are new are read each time until
-- they are summarized, which autovacuum does.
CREATE INDEX sessions_by_change ON chat.sessions USING brin (updated_at) WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX session_tags_by_change ON tagging.session_tags USING brin (tagged_at)
    WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX trips_by_change ON workflow.trips USING brin (updated_at) WITH (pages_per_range = 8, autosummarize = on);
CREATE INDEX requests_by_change ON workflow.requests USING brin (updated_at)
    WITH (pages_per_range = 8, autosummarize = on);
