"""Count the dead letters that wait for an operator."""

from math import nan

from prometheus_client import Gauge

from services.gateway.admin.dead_letters.queries import DeadLetterQueries
from shared.database import DATABASE_ERRORS

PARKED = Gauge("tripthread_dead_letters", "Parked messages that wait for an operator", ["queue"])


class DeadLetterCensus:
    def __init__(self, queries: DeadLetterQueries) -> None:
        self._queries = queries
        self._known: set[str] = set()

    async def count(self) -> None:
        try:
            counts: dict[str, float] = dict(await self._queries.parked())
        except (*DATABASE_ERRORS, TimeoutError):
            counts = dict.fromkeys(self._known, nan)
        self._known |= counts.keys()
        for queue in self._known:
            PARKED.labels(queue).set(counts.get(queue, 0))
