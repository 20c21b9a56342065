"""See `sql/0012_past.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0012_past"
down_revision = "0011_unreadable"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
