"""See `sql/0019_search.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0019_search"
down_revision = "0018_opened"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
