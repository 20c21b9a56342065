"""See `sql/0030_proposals.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0030_proposals"
down_revision = "0029_running_traces"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
