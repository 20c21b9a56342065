"""See `sql/0033_notes.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0033_notes"
down_revision = "0032_stale_by_key"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
