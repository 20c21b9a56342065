"""Work what is due, by several jobs at once, until told to stop.

A job gives up a piece of its work that can't be done (`unworkable.py`). Where it raises all the same, nobody
knows which piece it was: it is tried again ever more rarely, its process says so, and the other jobs go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic

import structlog
from prometheus_client import Gauge

from shared.backoff import Backoff, pause
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway, ShuttingDown
from shared.jobs.leader import Leader

Job = Callable[[], Awaitable[bool]]  # works one due thing; False when nothing is due
IDLE_S = 0.5
BACKOFF = Backoff(first_s=1.0, longest_s=32.0)

FAILURES = Gauge("tripthread_work_failures", "Tries in vain of a worker's job since it succeeded", ["work"])

log = structlog.get_logger(__name__)


class Worker:
    """Runs each job in a loop of its own, so that none waits for another."""

    def __init__(
        self,
        name: str,
        leader: Leader,
        jobs: Mapping[str, Job],
        *,
        close: Callable[[], None] = lambda: None,
        idle_s: float = IDLE_S,
        backoff: Backoff = BACKOFF,
        share: float = 1.0,
        is_vital: bool = True,
    ) -> None:
        """Prepare to work.

        Args:
            name: This worker's, in logs and readiness.
            leader: Nothing is worked but by the leader.
            jobs: By the name they have in logs.
            close: Called at the stop; ends whatever a job waits for, by `ShuttingDown`.
            idle_s: Between two looks for work, where nothing has told of any.
            backoff: Before another try, where the database or the broker is away.
            share: Of the time, how much a job may work: it rests after a piece, `idle_s` at most, so that others of its
                process and at its database have the rest.
            is_vital: Whether its process can't do its job while the work is postponed.
        """
        self._name = name
        self._leader = leader
        self._jobs = jobs
        self._close = close
        self._idle_s = idle_s
        self._backoff = backoff
        self._rest_for = 1 / share - 1  # times what a piece took
        self._is_vital = is_vital
        self._stopping = asyncio.Event()
        self._bells = {name: asyncio.Event() for name in jobs}
        self._troubles: dict[str, str] = {}

    def __str__(self) -> str:
        return self._name

    @property
    def leads(self) -> bool:
        """Whether this process is the one that works."""
        return self._leader.leads

    async def run(self) -> None:
        """Work until `shut_down`, and then finish what was begun."""
        async with asyncio.TaskGroup() as leading:
            leading.create_task(self._leader.run())
            async with asyncio.TaskGroup() as jobs:
                for name, job in self._jobs.items():
                    jobs.create_task(self._repeat(name, job))
            self._leader.shut_down()  # not before the last answer is written

    def shut_down(self) -> None:
        self._stopping.set()
        self._close()
        self.wake()

    def wake(self) -> None:
        """Look for work at once."""
        for bell in self._bells.values():
            bell.set()

    def fault(self) -> str | None:
        """Say what keeps the work from going on. To wait for another leader is no fault."""
        troubles = [self._leader.trouble, *self._troubles.values()] if self._is_vital else []
        return "; ".join(filter(None, troubles)) or None

    async def _repeat(self, name: str, job: Job) -> None:
        failures, shown = 0, FAILURES.labels(name)
        while not self._stopping.is_set():
            shown.set(failures)
            self._bells[name].clear()
            began = monotonic()
            try:
                is_busy = self._leader.leads and await job()
            except ShuttingDown:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the other jobs go on
                failures += 1
                self._trouble_with(name, error)
                await pause(self._backoff.wait_s(failures), self._stopping)
                continue
            failures = 0
            self._troubles.pop(name, None)
            if is_busy:
                self.wake()  # what was done may be another job's work
                await self._rest(monotonic() - began)
            else:
                await self._idle(name)

    def _trouble_with(self, name: str, error: Exception) -> None:
        self._troubles[name] = f"{name}: {type(error).__name__}: {error}"
        if isinstance(error, (*DATABASE_ERRORS, BrokerAway)):
            log.warning("work postponed", job=name, error=self._troubles[name])
        else:
            log.error("work postponed, by nobody's fault but its own", job=name, exc_info=error)

    async def _idle(self, name: str) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bells[name].wait(), self._idle_s)

    async def _rest(self, worked_s: float) -> None:
        if self._rest_for:
            await pause(min(worked_s * self._rest_for, self._idle_s), self._stopping)
