"""See `sql/0026_search_by_whole_words.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0026_search_by_whole_words"
down_revision = "0025_recalled"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
