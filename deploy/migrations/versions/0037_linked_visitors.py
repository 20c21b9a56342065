"""See `sql/0037_linked_visitors.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0037_linked_visitors"
down_revision = "0036_browser_sessions"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
