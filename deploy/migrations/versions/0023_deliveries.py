"""See `sql/0023_deliveries.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0023_deliveries"
down_revision = "0022_models_and_batches"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
