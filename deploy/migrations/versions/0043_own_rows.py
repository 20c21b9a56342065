"""See `sql/0043_own_rows.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0043_own_rows"
down_revision = "0042_conversations"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
