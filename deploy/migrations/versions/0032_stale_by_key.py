"""See `sql/0032_stale_by_key.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0032_stale_by_key"
down_revision = "0031_openings_in_order"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
