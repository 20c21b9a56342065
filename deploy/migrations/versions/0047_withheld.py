"""See `sql/0047_withheld.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0047_withheld"
down_revision = "0046_proposed_deletions"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
