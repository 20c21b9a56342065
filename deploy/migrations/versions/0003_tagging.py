"""See `sql/0003_tagging.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0003_tagging"
down_revision = "0002_chat"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
