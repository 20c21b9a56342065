"""See `sql/0020_shared_with.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0020_shared_with"
down_revision = "0019_tags_by_key"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
