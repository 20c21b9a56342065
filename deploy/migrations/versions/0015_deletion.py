"""See `sql/0015_deletion.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0015_deletion"
down_revision = "0014_sessions"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
