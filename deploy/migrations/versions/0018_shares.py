"""See `sql/0018_shares.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0018_shares"
down_revision = "0017_search"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
