"""See `sql/0027_trip_changes.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0027_trip_changes"
down_revision = "0026_search_by_whole_words"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
