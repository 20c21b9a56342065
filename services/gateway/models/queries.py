"""Read tagging.models, which models are known and whose sessions are tagged, and tagging.session_tags."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.http.requests.cursors import Place
from services.gateway.models.answers import Model, ReservedTag, Tag
from shared.database import Pool, reading


class ModelQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, limit: int, before: Place | None) -> list[tuple[Place, Model]]:
        """Return up to `limit` models, the newest first, each with its place in that order."""
        registered_before, id_before = before or (None, None)
        async with reading(self._pool) as db:
            rows = await db.fetch(
                """
                SELECT model_id AS id, name, coalesce(display_name, name) AS display_name, provider, tracked, short_id,
                    registered_at
                FROM tagging.models
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
            row = await db.fetchrow(_MODEL, model_id)
        return None if row is None else Model.model_validate(dict(row))

    async def find_to_change(self, model_id: UUID) -> tuple[Model, datetime] | None:
        """Return a model, and a time that is later than all that its row knows, whoever's clock said it."""
        async with reading(self._pool) as db:
            row = await db.fetchrow(_MODEL, model_id)
        return None if row is None else (Model.model_validate(dict(row)), row["later"])

    async def known(self, model_ids: Sequence[UUID]) -> set[UUID]:
        """Return those of these ids that are some model's."""
        async with reading(self._pool) as db:
            rows = await db.fetch("SELECT model_id FROM tagging.models WHERE model_id = ANY ($1)", list(model_ids))
        return {row["model_id"] for row in rows}


_MODEL = """
    SELECT model_id AS id, name, coalesce(display_name, name) AS display_name, provider, tracked, short_id,
        greatest(clock_timestamp(), greatest(stamped_at, renamed_at) + interval '1 microsecond') AS later
    FROM tagging.models WHERE model_id = $1
"""


class TagQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_session(self, user_ids: Sequence[str], session_id: str) -> Tag | None:
        """Return the session's tag; of two owners' sessions of one id, the first owner's."""
        async with reading(self._pool, *user_ids) as db:
            row = await db.fetchrow(
                """
                SELECT g.session_tag, g.number AS counter, g.experiment_name AS tag_experiment_name, g.model_id,
                    coalesce(m.display_name, m.name) AS model_name, g.reserved_at
                FROM tagging.session_tags g JOIN tagging.models m USING (model_id)
                WHERE g.user_id = ANY ($1) AND g.session_id = $2 AND g.session_tag IS NOT NULL
                    AND g.deleted_at IS NULL
                ORDER BY array_position($1, g.user_id) LIMIT 1
                """,
                list(user_ids),
                session_id,
            )
        return None if row is None else tag_of(row)


class ReservedQueries:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_sessions(self, user_id: str, session_ids: Sequence[str]) -> tuple[datetime, list[ReservedTag]]:
        """Return the database's time, and of these sessions those that have been reserved, deleted ones too."""
        async with reading(self._pool, user_id) as db:
            rows = await db.fetch(
                """
                SELECT clock_timestamp() AS now, wanted.session_id, g.session_tag,
                    CASE WHEN g.session_tag IS NOT NULL THEN g.number END AS counter,
                    g.session_id IS NOT NULL OR d.session_id IS NOT NULL AS is_there
                FROM unnest($2::text[]) WITH ORDINALITY AS wanted (session_id, place)
                LEFT JOIN LATERAL (SELECT * FROM tagging.session_tags own
                    WHERE own.user_id = $1 AND own.session_id = wanted.session_id OFFSET 0) g ON true
                LEFT JOIN gateway.deletions d ON (d.user_id, d.session_id) = ($1, wanted.session_id)
                ORDER BY wanted.place
                """,
                user_id,
                list(session_ids),
            )
        there = [row for row in rows if row["is_there"]]
        return rows[0]["now"], [ReservedTag.model_validate(dict(row)) for row in there]


def tag_of(row: dict[str, Any] | asyncpg.Record) -> Tag | None:
    if row["session_tag"] is None:
        return None
    return Tag(
        session_tag=row["session_tag"],
        counter=row["counter"],
        experiment_name=row["tag_experiment_name"],
        model_id=row["model_id"],
        model_name=row["model_name"],
        reserved_at=row["reserved_at"],
    )
