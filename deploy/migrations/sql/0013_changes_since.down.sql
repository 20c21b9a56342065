DROP INDEX workflow.requests_by_change;
DROP INDEX workflow.trips_by_change;
DROP INDEX tagging.session_tags_by_change;
DROP INDEX chat.sessions_by_change;
