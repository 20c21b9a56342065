"""Read tagging.models: which models are known, and whose sessions are tagged."""

from uuid import UUID

from services.gateway.cursors import Place
from services.gateway.schemas import Model
from shared.database import Pool, reading


class Models:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, limit: int, before: Place | None) -> list[tuple[Place, Model]]:
        """Return up to `limit` models, the newest first, each with its place in that order."""
        registered_before, id_before = before or (None, None)
        async with reading(self._pool) as db:
            rows = await db.fetch(
                """
                SELECT model_id AS id, name, provider, tracked, short_id, registered_at FROM tagging.models
                WHERE (registered_at, model_id) < (coalesce($2::timestamptz, 'infinity'),
                    coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'))
                ORDER BY registered_at DESC, model_id DESC LIMIT $1
                """,
                limit,
                registered_before,
                id_before,
            )
        return [((row["registered_at"], str(row["id"])), Model.model_validate(dict(row))) for row in rows]

    async def find(self, model_id: UUID) -> Model | None:
        async with reading(self._pool) as db:
            row = await db.fetchrow(
                "SELECT model_id AS id, name, provider, tracked, short_id FROM tagging.models WHERE model_id = $1",
                model_id,
            )
        return None if row is None else Model.model_validate(dict(row))
