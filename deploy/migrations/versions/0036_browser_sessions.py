"""See `sql/0036_browser_sessions.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0036_browser_sessions"
down_revision = "0035_searched_once"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
