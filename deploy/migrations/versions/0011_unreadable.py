"""See `sql/0011_unreadable.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0011_unreadable"
down_revision = "0010_outbox"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
