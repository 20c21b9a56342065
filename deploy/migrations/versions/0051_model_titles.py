"""See `sql/0051_model_titles.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0051_model_titles"
down_revision = "0050_posted"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
