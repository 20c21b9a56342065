"""The notices as they came, and what became of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.workflow.avinode.notices import Notice
from shared.database import Pool, transaction
from shared.events import DeliveryReprocessed, WebhookReceived

MOST_NOTICES = 1000  # of one look: an outcome names each as its cause


@dataclass(frozen=True)
class DirtyHref:
    """One place to look at, and the notices that have pointed there so far: all of them, where it is no flood."""

    href: str
    kind: str
    avinode_id: str | None
    trip_code: str | None
    attempts: int
    kept_at: datetime | None  # when the last of them was, by the database's clock; None where nobody knows
    delivery_ids: list[UUID]
    event_ids: list[UUID]


@dataclass(frozen=True)
class Kept:
    """A notice as it came."""

    source: str
    headers: dict[str, str]
    payload: bytes


class DeliveryStore:
    """A delivery is due until what it points at was read, or is known to be of no use."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, notices: Sequence[tuple[WebhookReceived, Notice]]) -> None:
        """Keep these, once each."""
        async with transaction(self._pool) as db:
            await db.execute(
                """
                INSERT INTO workflow.deliveries (delivery_id, source, event_name, headers, payload, received_at,
                    event_id, state, error, href, kind, avinode_id, trip_code)
                SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::bytea[], $6::timestamptz[],
                    $7::uuid[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
                ON CONFLICT DO NOTHING
                """,
                [event.delivery_id for event, _ in notices],
                [event.source for event, _ in notices],
                [event.event_name for event, _ in notices],
                [event.headers for event, _ in notices],
                [event.payload for event, _ in notices],
                [event.occurred_at for event, _ in notices],
                [event.event_id for event, _ in notices],
                [notice.state for _, notice in notices],
                [notice.error for _, notice in notices],
                [notice.href for _, notice in notices],
                [notice.kind for _, notice in notices],
                [notice.avinode_id for _, notice in notices],
                [notice.trip_code for _, notice in notices],
            )

    async def find(self, delivery_id: UUID) -> Kept | None:
        """Return a notice as it came."""
        row = await self._pool.fetchrow(
            "SELECT source, headers, payload FROM workflow.deliveries WHERE delivery_id = $1", delivery_id
        )
        return None if row is None else Kept(**row)

    async def begin_anew(self, event: DeliveryReprocessed, notice: Notice) -> None:
        """Begin with a notice from the beginning, once for each event."""
        await self._pool.execute(
            """
            UPDATE workflow.deliveries SET state = $3, error = $4, href = $5, kind = $6, avinode_id = $7,
                trip_code = coalesce($8, trip_code), attempts = 0, due_at = clock_timestamp(),
                kept_at = clock_timestamp(), worked_at = NULL, reprocessed_by = $2, reprocessed_at = $9
            WHERE delivery_id = $1 AND reprocessed_at IS DISTINCT FROM $9
            """,
            event.delivery_id,
            event.operator,
            notice.state,
            notice.error,
            notice.href,
            notice.kind,
            notice.avinode_id,
            notice.trip_code,
            event.occurred_at,
        )

    async def next_due(self) -> DirtyHref | None:
        """Return the href that has been due longest. Notices that come from now on are not among its."""
        row = await self._pool.fetchrow(
            """
            WITH next AS (
                SELECT href FROM workflow.deliveries
                WHERE state IN ('due', 'unmatched') AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1
            ), notices AS (
                SELECT href, kind, avinode_id, trip_code, attempts, kept_at, delivery_id, event_id
                FROM workflow.deliveries JOIN next USING (href) WHERE state IN ('due', 'unmatched') LIMIT $1
            )
            SELECT href, min(kind) AS kind, min(avinode_id) AS avinode_id, max(trip_code) AS trip_code,
                max(attempts) AS attempts, CASE WHEN bool_and(kept_at IS NOT NULL) THEN max(kept_at) END AS kept_at,
                array_agg(delivery_id) AS delivery_ids, array_agg(event_id) AS event_ids
            FROM notices GROUP BY href
            """,
            MOST_NOTICES,
        )
        return None if row is None else DirtyHref(**row)

    async def settle(
        self,
        dirty: DirtyHref,
        state: Literal["done", "ignored", "refused"],
        error: str | None,
        trip_code: str | None = None,
    ) -> None:
        """Note what became of these notices, and which trip they are about where what they point at says one."""
        await self._pool.execute(
            """
            UPDATE workflow.deliveries SET state = $2, error = $3, attempts = attempts + 1,
                worked_at = clock_timestamp(), trip_code = coalesce($4, trip_code)
            WHERE delivery_id = ANY ($1::uuid[])
            """,
            dirty.delivery_ids,
            state,
            error,
            trip_code,
        )

    async def postpone(self, dirty: DirtyHref, error: str, wait_s: float) -> None:
        """Look at these notices again later."""
        await self._pool.execute(
            """
            UPDATE workflow.deliveries SET state = 'due', error = $2, attempts = attempts + 1,
                worked_at = clock_timestamp(), due_at = clock_timestamp() + $3 * interval '1 second'
            WHERE delivery_id = ANY ($1::uuid[])
            """,
            dirty.delivery_ids,
            error,
            wait_s,
        )

    async def leave_unmatched(self, dirty: DirtyHref, trip_code: str | None, wait_s: float, longest_s: float) -> None:
        """Look at these notices of an unknown trip again later, and at once when it turns up.

        Those that have waited for longer than `longest_s` are tried no more by themselves.
        """
        await self._pool.execute(
            """
            UPDATE workflow.deliveries SET state = 'unmatched', error = 'no such trip here', attempts = attempts + 1,
                worked_at = clock_timestamp(), trip_code = coalesce(trip_code, $2),
                due_at = CASE WHEN received_at < clock_timestamp() - $4 * interval '1 second' THEN 'infinity'
                    ELSE clock_timestamp() + $3 * interval '1 second' END
            WHERE delivery_id = ANY ($1::uuid[])
            """,
            dirty.delivery_ids,
            trip_code,
            wait_s,
            longest_s,
        )
