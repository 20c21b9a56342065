"""See `sql/0020_shares.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0020_shares"
down_revision = "0019_search"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
