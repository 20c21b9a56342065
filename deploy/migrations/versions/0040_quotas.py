"""See `sql/0040_quotas.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0040_quotas"
down_revision = "0039_reads"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
