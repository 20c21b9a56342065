"""See `sql/0050_posted.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0050_posted"
down_revision = "0049_letters_by_kind"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
