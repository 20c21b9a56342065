"""See `sql/0019_tags_by_key.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0019_tags_by_key"
down_revision = "0018_shares"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
