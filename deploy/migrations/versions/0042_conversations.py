"""See `sql/0042_conversations.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0042_conversations"
down_revision = "0041_counted"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
