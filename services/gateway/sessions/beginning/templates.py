"""Read chat.templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.gateway.account.projects import Projects
from services.gateway.http.requests.fields import Json
from shared.database import Pool, reading


@dataclass(frozen=True)
class TemplateRow:
    user_id: str
    template_id: UUID
    name: str
    template: Json  # fields of a session that is begun with it
    occurred_at: datetime  # when it was saved last
    event_id: UUID


class TemplateQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, user_ids: Sequence[str], projects: Projects, limit: int, before: str | None
    ) -> list[TemplateRow]:
        """Return these users' templates that a caller who is limited to these projects sees, the newest first."""
        return await self._rows(user_ids, projects, limit, before=before)

    async def find(self, user_ids: Sequence[str], projects: Projects, template_id: UUID) -> TemplateRow | None:
        """Return one of them."""
        return next(iter(await self._rows(user_ids, projects, 1, template_id=template_id)), None)

    async def now(self) -> datetime:
        """Return the time by the database's clock."""
        async with reading(self._pool) as db:
            now: datetime = await db.fetchval("SELECT clock_timestamp()")
        return now

    async def _rows(
        self,
        user_ids: Sequence[str],
        projects: Projects,
        limit: int,
        *,
        before: str | None = None,
        template_id: UUID | None = None,
    ) -> list[TemplateRow]:
        async with reading(self._pool, *user_ids) as db:
            rows = await db.fetch(
                """
                SELECT user_id, template_id, name, template, occurred_at, event_id FROM chat.templates
                WHERE user_id = ANY ($1) AND deleted_at IS NULL
                    AND ($2::text[] IS NULL OR template ->> 'project_id' = ANY ($2))
                    AND ($3::uuid IS NULL OR template_id < $3) AND ($4::uuid IS NULL OR template_id = $4)
                ORDER BY template_id DESC LIMIT $5
                """,
                list(user_ids),
                None if projects is None else list(projects),
                before,
                template_id,
                limit,
            )
        return [TemplateRow(**row) for row in map(dict, rows)]
