"""See `sql/0008_upstreams.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0008_upstreams"
down_revision = "0007_turns"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
