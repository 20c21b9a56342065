"""See `sql/0046_proposed_deletions.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0046_proposed_deletions"
down_revision = "0045_tools"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
