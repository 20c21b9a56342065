"""What every consumer of a queue is, however it settles: `group_commit.py` in groups, `handled_queue.py` one by one.

It consumes by one connection after the other until it is told to stop; a database that is away for too long is waited
for without one; what nobody can mend here leaves `run`, and so ends the process. It says what is wrong meanwhile, and
which events its queue hears (`shared/consuming/introduction.py`).
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog
from prometheus_client import Gauge

from shared.backoff import Delays, pause
from shared.broker.connection import Disconnected, describe
from shared.consuming.introduction import Introduction
from shared.consuming.parking import Parking
from shared.consuming.patient_commit import Outage, PatientCommit
from shared.events import Outcome
from shared.publishing.publisher import Publisher
from shared.topology import Queue

OLDEST_SECONDS = Gauge("tripthread_oldest_uncommitted_seconds", "Since the oldest open delivery arrived", ["queue"])
AWAY = Gauge("tripthread_consumer_away", "1 while a consumer commits nothing, whatever is the reason", ["queue"])

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Consumer(ABC, Generic[T]):
    """Consumes one queue."""

    def __init__(
        self,
        queue: Queue,
        publisher: Publisher,
        commit: Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]],
        *,
        patience_s: float,
        said_after_s: Sequence[float],
    ) -> None:
        """Prepare to consume.

        Args:
            queue: Where from.
            publisher: Parks messages and announces outcomes.
            commit: Settles some messages, see `PatientCommit`.
            patience_s: How long an outage may last before the deliveries are given back.
            said_after_s: When to say which events the queue hears.
        """
        self._queue = queue
        self._publisher = publisher
        self._stopping = asyncio.Event()
        self._database = PatientCommit(queue, commit, patience_s, self._stopping)
        self._parking = Parking(publisher, queue)
        self._introduction = Introduction(publisher, queue, self._stopping, said_after_s)
        self._delays = Delays()
        self._trouble: str | None = "not started"
        OLDEST_SECONDS.labels(queue.name).set_function(self._oldest_s)
        AWAY.labels(queue.name).set_function(lambda: self.fault() is not None)

    def __str__(self) -> str:
        return self._queue.name

    async def run(self) -> None:
        """Consume until `shut_down`.

        Raises:
            Exception: What was raised and nobody can mend here.
        """
        try:
            async with self._introduction.under_way(self.shut_down):
                while not self._stopping.is_set():
                    await self._consume_until_disconnected()
        except BaseException as error:
            self._trouble = f"ended by {describe(error)}"
            raise
        self._trouble = "stopped"

    @abstractmethod
    def shut_down(self) -> None:
        """Ask `run` to settle what has arrived and return."""

    def fault(self) -> str | None:
        """Say why messages are not being settled at the moment; None while they are."""
        return self._trouble or self._database.fault()

    async def _consume_until_disconnected(self) -> None:
        try:
            await self._consume()
        except Disconnected as error:
            self._trouble = f"disconnected: {error.detail}"
            log.debug("consumer disconnected", queue=self._queue.name, reason=error.detail)
            await pause(self._delays.next(), self._stopping)
        except Outage:
            log.debug("deliveries given back", queue=self._queue.name, reason=self._database.fault())
            await self._database.wait_out()

    @abstractmethod
    async def _consume(self) -> None:
        """Consume by one connection.

        Raises:
            Disconnected: It is lost, or cannot be had.
            Outage: The database has been away for too long.
        """

    @abstractmethod
    def _oldest_arrived_at(self) -> float | None:
        """Return when the oldest message arrived that is not settled, by the monotonic clock."""

    def _oldest_s(self) -> float:
        oldest = self._oldest_arrived_at()
        return 0.0 if oldest is None else time.monotonic() - oldest
