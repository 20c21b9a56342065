"""See `sql/0007_turns.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0007_turns"
down_revision = "0006_orders"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
