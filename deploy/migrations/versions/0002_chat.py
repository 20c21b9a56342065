"""See `sql/0002_chat.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0002_chat"
down_revision = "0001_foundation"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
