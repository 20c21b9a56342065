"""See `sql/0005_workflow.up.sql`."""

from deploy.migrations.revision import down, up

revision = "0005_workflow"
down_revision = "0004_gateway"


def upgrade() -> None:
    up(revision)


def downgrade() -> None:
    down(revision)
