"""See `sql/0024_marks_by_value.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0024_marks_by_value"
down_revision = "0023_deliveries"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
