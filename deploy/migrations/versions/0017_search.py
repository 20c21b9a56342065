"""See `sql/0017_search.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0017_search"
down_revision = "0016_opened"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
