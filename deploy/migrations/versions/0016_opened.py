"""See `sql/0016_opened.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0016_opened"
down_revision = "0015_deletion"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
