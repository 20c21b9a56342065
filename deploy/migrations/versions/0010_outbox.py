"""See `sql/0010_outbox.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0010_outbox"
down_revision = "0009_checkpoints"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
