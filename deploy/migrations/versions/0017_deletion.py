"""See `sql/0017_deletion.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0017_deletion"
down_revision = "0016_sessions"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
