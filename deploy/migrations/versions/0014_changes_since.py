"""See `sql/0014_changes_since.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0014_changes_since"
down_revision = "0013_session_labels"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
