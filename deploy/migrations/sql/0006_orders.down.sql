DROP INDEX workflow.trips_unread;
