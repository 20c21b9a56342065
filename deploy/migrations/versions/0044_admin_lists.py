"""See `sql/0044_admin_lists.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0044_admin_lists"
down_revision = "0043_own_rows"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
