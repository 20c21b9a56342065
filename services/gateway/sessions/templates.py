"""Read chat.templates."""

from collections.abc import Sequence
from uuid import UUID

from shared.database import Pool, reading


class TemplateQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def exists(self, user_ids: Sequence[str], template_id: UUID) -> bool:
        """Tell whether one of these users has this template."""
        async with reading(self._pool, *user_ids) as db:
            found = await db.fetchval(
                """
                SELECT template_id FROM chat.templates
                WHERE user_id = ANY ($1) AND template_id = $2 AND deleted_at IS NULL
                """,
                list(user_ids),
                template_id,
            )
        return found is not None
