"""See `sql/0015_kept.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0015_kept"
down_revision = "0014_changes_since"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
