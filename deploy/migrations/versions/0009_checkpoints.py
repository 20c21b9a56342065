"""See `sql/0009_checkpoints.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0009_checkpoints"
down_revision = "0008_upstreams"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
