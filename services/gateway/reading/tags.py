"""Read tagging.session_tags: the tag of one session."""

from collections.abc import Sequence

from services.gateway.reading.sessions import tag_of
from services.gateway.schemas import Tag
from shared.database import Pool, reading


class Tags:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_session(self, user_ids: Sequence[str], session_id: str) -> Tag | None:
        """Return the session's tag; of two owners' sessions of one id, the first owner's."""
        async with reading(self._pool, *user_ids) as db:
            row = await db.fetchrow(
                """
                SELECT g.session_tag, g.number AS counter, g.experiment_name AS tag_experiment_name, g.model_id,
                    m.name AS model_name
                FROM tagging.session_tags g JOIN tagging.models m USING (model_id)
                WHERE g.user_id = ANY ($1) AND g.session_id = $2 AND g.session_tag IS NOT NULL
                    AND g.deleted_at IS NULL
                ORDER BY array_position($1, g.user_id) LIMIT 1
                """,
                list(user_ids),
                session_id,
            )
        return None if row is None else tag_of(row)
