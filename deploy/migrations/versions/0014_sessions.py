"""See `sql/0014_sessions.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0014_sessions"
down_revision = "0013_changes_since"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
