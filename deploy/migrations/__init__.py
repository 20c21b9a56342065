"""The schema: Alembic revisions that execute the plain SQL in `sql/`, `NNNN_name.up.sql` and `NNNN_name.down.sql`."""
