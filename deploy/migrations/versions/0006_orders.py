"""See `sql/0006_orders.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0006_orders"
down_revision = "0005_workflow"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
