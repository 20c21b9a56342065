-- Trips of all users, for administrators, and sessions without one: in their order, and by what is asked for.
--
-- Who asks for one user's rows must never be planned by an index of everybody's, which would read all of these. So those
-- indexes are partial by what is true of every row, and only the queries for administrators say so.
CREATE INDEX sessions_of_all ON chat.sessions (last_activity_at DESC, session_id DESC, user_id DESC)
    WHERE deleted_at IS NULL AND message_count >= 0;
CREATE INDEX trip_sessions_of_all ON workflow.trip_sessions (started_at DESC)
    WHERE deleted_at IS NULL AND started_at > '-infinity';
CREATE INDEX trip_sessions_by_session ON workflow.trip_sessions (session_id)
    WHERE deleted_at IS NULL AND started_at > '-infinity';
CREATE INDEX trip_sessions_by_request ON workflow.trip_sessions (request_id)
    WHERE deleted_at IS NULL AND started_at > '-infinity';
CREATE INDEX trips_by_step ON workflow.trips (step);
CREATE INDEX trips_by_end ON workflow.trips (coalesce(proposal_sent_at, closed_at));
CREATE INDEX trips_by_avinode_rfp_id ON workflow.trips (avinode_rfp_id) WHERE avinode_rfp_id IS NOT NULL;
