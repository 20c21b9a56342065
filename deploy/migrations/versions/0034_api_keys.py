"""See `sql/0034_api_keys.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0034_api_keys"
down_revision = "0033_notes"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
