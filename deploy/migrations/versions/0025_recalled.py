"""See `sql/0025_recalled.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0025_recalled"
down_revision = "0024_marks_by_value"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
