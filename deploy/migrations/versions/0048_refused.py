"""See `sql/0048_refused.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0048_refused"
down_revision = "0047_withheld"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
