"""See `sql/0039_reads.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0039_reads"
down_revision = "0038_clients"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
