"""See `sql/0016_sessions.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0016_sessions"
down_revision = "0015_kept"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
