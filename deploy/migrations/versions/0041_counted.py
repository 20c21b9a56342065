"""See `sql/0041_counted.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0041_counted"
down_revision = "0040_quotas"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
