"""Committing against a database that may be away: the same again, until it is done or a message is to blame."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

import structlog
from prometheus_client import Counter, Histogram

from shared.backoff import Delays, pause
from shared.broker.connection import describe
from shared.consuming.bisection import Guilty
from shared.database import DATABASE_ERRORS, Fault, fault_of
from shared.errors import Away, Poison
from shared.events import Outcome
from shared.topology import Queue

PATIENCE_S = 5.0  # how long an outage may last before the deliveries are given back
STUCK_S = 30.0  # a commit that takes longer is a fault; the database gives up after 12

COMMITTED = Counter("tripthread_committed_messages_total", "Messages committed", ["queue"])
GROUP_SIZE = Histogram(
    "tripthread_group_size", "Messages in one commit", ["queue"], buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
)
COMMIT_SECONDS = Histogram("tripthread_commit_seconds", "One successful commit", ["queue"])
COMMIT_FAILURES = Counter("tripthread_commit_failures_total", "Commits that failed", ["queue", "fault"])

# What a commit may fail with and the consumer live on.
_ERRORS = (*DATABASE_ERRORS, Poison, Away)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Outage(Exception):
    """The database has been away for too long to hold the deliveries."""


class _Unanswered(Exception):
    """The database did not do its part; no message is to blame."""


class PatientCommit(Generic[T]):
    """Commits the groups of one queue, one at a time.

    A group that met an outage is kept: committing it again, which is safe to repeat, is how the end of the outage is
    found. A query of its own would not do, since a database that answers `SELECT 1` may still refuse every write.
    """

    def __init__(
        self,
        queue: Queue,
        commit: Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]],
        patience_s: float,
        stopping: asyncio.Event,
    ) -> None:
        self._queue = queue
        self._commit = commit
        self._patience_s = patience_s
        self._stopping = stopping
        self._failed: Sequence[T] = ()
        self._trouble: str | None = None
        self._began: float | None = None
        self._committed = COMMITTED.labels(queue.name)
        self._group_size = GROUP_SIZE.labels(queue.name)
        self._seconds = COMMIT_SECONDS.labels(queue.name)

    def fault(self) -> str | None:
        """Say why nothing is being committed at the moment; None while there is no reason."""
        if self._trouble is None and self._began is not None:
            running_s = time.monotonic() - self._began
            return f"a commit has been running for {running_s:.0f} s" if running_s > STUCK_S else None
        return self._trouble

    async def commit(self, group: Sequence[T]) -> Sequence[Outcome]:
        """Commit a group, trying again while the database is away.

        Raises:
            Guilty: One of these messages is to blame.
            Outage: The database has been away for too long, or is away while we are stopping.
        """
        delays = Delays(first_s=0.05, longest_s=1.0)
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return await self._once(group)
            except _Unanswered:
                if self._stopping.is_set() or time.monotonic() > deadline:
                    self._failed = group
                    raise Outage from None
                await pause(delays.next(), self._stopping)

    async def wait_out(self) -> None:
        """Commit the group that met the outage again and again, until the database answers, whatever it says."""
        delays = Delays(first_s=0.5, longest_s=3.0)
        while not self._stopping.is_set():
            await pause(delays.next(), self._stopping)
            with suppress(_Unanswered):
                with suppress(Guilty):
                    await self._once(self._failed)
                return

    async def _once(self, group: Sequence[T]) -> Sequence[Outcome]:
        self._began = began = time.monotonic()
        try:
            outcomes = await self._commit(group)
        except _ERRORS as error:
            raise self._judge(error, group) from error
        finally:
            self._began = None
        self._answered()
        self._seconds.observe(time.monotonic() - began)
        self._group_size.observe(len(group))
        self._committed.inc(len(group))
        return outcomes

    def _judge(self, error: Exception, group: Sequence[T]) -> Guilty | _Unanswered:
        """Tell whether a message is to blame, or the database."""
        fault = _fault(error)
        COMMIT_FAILURES.labels(self._queue.name, fault.value).inc()
        nowhere_to_park = not self._queue.dead_letters and len(group) == 1
        if fault is Fault.MESSAGE and not nowhere_to_park:
            self._answered()
            return Guilty(error)
        trouble = f"waiting for the database: {describe(error)}"
        if trouble != self._trouble:
            level = logging.DEBUG if fault is Fault.TRANSIENT else logging.ERROR
            log.log(level, "commit postponed", queue=self._queue.name, fault=fault.value, reason=describe(error))
        self._trouble = trouble
        return _Unanswered()

    def _answered(self) -> None:
        if self._trouble is not None:
            log.debug("the database answers again", queue=self._queue.name)
        self._trouble = None


def _fault(error: Exception) -> Fault:
    if isinstance(error, Poison):
        return Fault.MESSAGE
    if isinstance(error, Away):
        return Fault.TRANSIENT
    return fault_of(error) or Fault.INSTALLATION
