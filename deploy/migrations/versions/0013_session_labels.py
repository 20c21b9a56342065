"""See `sql/0013_session_labels.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0013_session_labels"
down_revision = "0012_round_trips"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
