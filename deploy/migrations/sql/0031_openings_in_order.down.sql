DROP INDEX gateway.session_openings_in_order;
