"""See `sql/0031_openings_in_order.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0031_openings_in_order"
down_revision = "0030_proposals"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
