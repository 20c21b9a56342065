"""See `sql/0022_models_and_batches.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0022_models_and_batches"
down_revision = "0021_shared_with"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
