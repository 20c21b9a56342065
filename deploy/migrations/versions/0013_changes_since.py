"""See `sql/0013_changes_since.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0013_changes_since"
down_revision = "0012_round_trips"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
