"""See `sql/0038_clients.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0038_clients"
down_revision = "0037_linked_visitors"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
