"""See `sql/0028_trips_of_all.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0028_trips_of_all"
down_revision = "0027_trip_changes"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
