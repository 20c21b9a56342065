"""See `sql/0021_shared_with.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0021_shared_with"
down_revision = "0020_traces"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
