"""See `sql/0035_searched_once.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0035_searched_once"
down_revision = "0034_api_keys"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
