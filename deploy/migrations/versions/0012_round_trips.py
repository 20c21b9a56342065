"""See `sql/0012_round_trips.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0012_round_trips"
down_revision = "0011_unreadable"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
