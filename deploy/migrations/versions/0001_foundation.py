"""See `sql/0001_foundation.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0001_foundation"
down_revision = None


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
