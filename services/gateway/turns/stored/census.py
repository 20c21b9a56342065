"""Count the turns that nobody runs any more, and those of which nobody was told yet."""

from math import nan

from prometheus_client import Gauge

from services.gateway.turns.stored.rows import IS_UNTOLD
from shared.database import DATABASE_ERRORS, Pool, borrowed

MOST = 10_000  # that are counted
EXPIRED = Gauge("tripthread_turns_expired", "Running turns past their lease, of all gateways")
UNTOLD = Gauge("tripthread_turns_untold", "Turns that ended more than a minute ago, with events not known to be sent")


class TurnCensus:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(self) -> None:
        try:
            async with borrowed(self._pool) as db:
                row = await db.fetchrow(
                    f"""
                    SELECT
                        (SELECT count(*) FROM gateway.turns
                        WHERE state = 'running' AND lease_until < clock_timestamp()) AS expired,
                        (SELECT count(*) FROM (
                            SELECT FROM gateway.turns
                            WHERE {IS_UNTOLD} AND place < clock_timestamp() - interval '1 minute' LIMIT $1
                        ) late) AS untold
                    """,  # noqa: S608 - a constant of this folder
                    MOST,
                )
        except (*DATABASE_ERRORS, TimeoutError):
            row = None
        EXPIRED.set(nan if row is None else row["expired"])
        UNTOLD.set(nan if row is None else row["untold"])
