"""See `sql/0029_running_traces.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0029_running_traces"
down_revision = "0028_trips_of_all"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
