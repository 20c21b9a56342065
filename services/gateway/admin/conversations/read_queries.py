"""Read chat.conversation_reads, by the administrators' role."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import Json
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import Pool, reading


class Read(BaseModel):
    """That an administrator was shown what somebody said."""

    id: UUID
    operator: str
    user_id: str | None  # whose; of an erased user a hash; none: what was shown names nobody
    kind: str  # of what: `messages`, `sessions`, `trips`, `trace`, `dead_letter`, `delivery`, `export`
    items: int  # how many of it
    reason: str | None  # why, as the administrator said
    query: Json  # what they asked for
    occurred_at: datetime


@dataclass(frozen=True)
class ReadFilter:
    """Which ones; None: all."""

    user: str | None = None
    operator: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def whose(self) -> str:
        """By which column they are found; only by these words the index of all may be read (0039_reads)."""
        if self.user is not None:
            return "user_id = $5 AND ($6::text IS NULL OR operator = $6)"
        if self.operator is not None:
            return "$5::text IS NULL AND operator = $6"
        return "$5::text IS NULL AND $6::text IS NULL AND items > 0"


class ReadQueries:
    def __init__(self, admin: Pool) -> None:
        self._admin = admin

    async def page(self, which: ReadFilter, *, limit: int, before: Place | None) -> list[tuple[Place, Read]]:
        """Return up to `limit` reads, the newest first, each with its place in that order."""
        async with reading(self._admin, first=PLANNED_BY_VALUES) as db:
            rows = await db.fetch(
                f"""
                SELECT read_id AS id, operator, user_id, kind, items, query, occurred_at FROM chat.conversation_reads
                WHERE (occurred_at, read_id) < (coalesce($2::timestamptz, 'infinity'),
                        coalesce($3::uuid, '00000000-0000-0000-0000-000000000000'))
                    AND occurred_at >= coalesce($4::timestamptz, '-infinity')
                    AND occurred_at < coalesce($7::timestamptz, 'infinity') AND {which.whose}
                ORDER BY occurred_at DESC, read_id DESC LIMIT $1
                """,  # noqa: S608 - constants of this module
                limit,
                *(before or (None, None)),
                which.since,
                which.user,
                which.operator,
                which.until,
            )
        return [((row["occurred_at"], str(row["id"])), _read_of(dict(row))) for row in rows]


def _read_of(row: dict[str, Any]) -> Read:
    query = dict(row.pop("query"))
    return Read(**row, reason=query.pop("reason", None), query=query)
