"""See `sql/0004_gateway.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0004_gateway"
down_revision = "0003_tagging"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
