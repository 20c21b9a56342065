"""How long the queues were in the last hour, as every gateway sees them: kept once for all, a row a minute.

The broker tells how many messages wait and who reads them, and no more without its management plugin; how old the
oldest is it tells nobody who does not take it. So that is bounded: it cannot be older than when the queue was last seen
empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from math import isnan

from shared.database import DATABASE_ERRORS, Pool, fetched

KEPT_S = 3600.0


@dataclass(frozen=True)
class Seen:
    """A queue at one moment."""

    queue: str
    messages: int  # that wait, delivered ones not counted
    consumers: int


@dataclass(frozen=True)
class Minute:
    """What was seen of a queue in a minute, by whichever gateways."""

    queue: str
    minute: datetime
    messages: int  # the most
    consumers: int  # the fewest
    emptied_at: datetime | None  # when it was last seen empty, in this minute or before; none: nobody knows


COLUMNS = tuple(each.name for each in fields(Minute))


class QueueHistory:
    def __init__(self, own: Pool, admin: Pool) -> None:
        self._own = own
        self._admin = admin

    async def note(self, queues: Sequence[tuple[str, float, float]]) -> None:
        """Note how queues were seen: name, messages, consumers; NaN, which the broker did not tell, is not noted."""
        seen = [Seen(name, int(waiting), int(readers)) for name, waiting, readers in queues if not isnan(waiting)]
        if not seen:
            return
        try:
            await self._note(seen)
        except (*DATABASE_ERRORS, TimeoutError):
            return  # a minute that another gateway may have, or nobody

    async def _note(self, seen: Sequence[Seen]) -> None:
        await fetched(
            self._own,
            """
            WITH seen AS (
                SELECT queue, messages, consumers, clock_timestamp() AS at
                FROM unnest($1::text[], $2::int[], $3::int[]) AS seen (queue, messages, consumers)
            ), noted AS (
                INSERT INTO gateway.queue_minutes AS known (queue, minute, messages, consumers, emptied_at)
                SELECT queue, date_trunc('minute', at), messages, consumers,
                    CASE WHEN messages = 0 THEN at ELSE (SELECT last.emptied_at FROM gateway.queue_minutes last
                        WHERE last.queue = seen.queue ORDER BY last.minute DESC LIMIT 1) END
                FROM seen ORDER BY queue
                ON CONFLICT (queue, minute) DO UPDATE SET messages = greatest(known.messages, excluded.messages),
                    consumers = least(known.consumers, excluded.consumers),
                    emptied_at = greatest(known.emptied_at, excluded.emptied_at)
            )
            DELETE FROM gateway.queue_minutes
            WHERE queue = ANY ($1) AND minute < clock_timestamp() - make_interval(secs => $4)
            """,
            [each.queue for each in seen],
            [each.messages for each in seen],
            [each.consumers for each in seen],
            KEPT_S,
        )

    async def read(self) -> tuple[datetime, list[Minute]]:
        """Return the time and the last hour, the oldest minute first."""
        rows = await fetched(
            self._admin,
            """
            SELECT now.at, m.* FROM (SELECT clock_timestamp() AS at) now LEFT JOIN gateway.queue_minutes m
                ON m.minute >= now.at - make_interval(secs => $1)
            ORDER BY m.minute
            """,
            KEPT_S,
        )
        known = [row for row in rows if row["queue"] is not None]
        return rows[0]["at"], [Minute(**{name: row[name] for name in COLUMNS}) for row in known]
