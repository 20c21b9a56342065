"""Alembic's hook: run the revisions as the NOLOGIN owner, on the connection that `deploy.migrate` opened."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="tripthread", version_table="revision")
with context.begin_transaction():
    context.run_migrations()
