DROP INDEX workflow.trips_by_avinode_rfp_id, workflow.trips_by_end, workflow.trips_by_step, workflow.trip_sessions_by_request,
    workflow.trip_sessions_by_session, workflow.trip_sessions_of_all, chat.sessions_of_all;
