"""See `sql/0045_tools.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0045_tools"
down_revision = "0044_admin_lists"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
