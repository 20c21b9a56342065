"""See `sql/0049_letters_by_kind.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0049_letters_by_kind"
down_revision = "0048_refused"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
