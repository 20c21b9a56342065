"""See `sql/0021_tags_by_key.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0021_tags_by_key"
down_revision = "0020_shares"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
