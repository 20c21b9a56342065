"""See `sql/0018_opened.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0018_opened"
down_revision = "0017_deletion"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
