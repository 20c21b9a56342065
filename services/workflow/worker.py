"""Work what is due, until told to stop: requests, notices, trips, untold quotes and refusals, each at its own pace."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from services.workflow.leader import Leader
from services.workflow.pace import Pace
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway, ShuttingDown

Job = Callable[[], Awaitable[bool]]  # works one due thing; False when nothing is due

log = structlog.get_logger(__name__)


class Worker:
    """Runs each job in a loop of its own, so that none waits for another; only the token bucket is shared."""

    def __init__(self, leader: Leader, jobs: Mapping[str, Job], close: Callable[[], None], pace: Pace) -> None:
        """Prepare to work.

        Args:
            leader: Nothing is worked but by the leader.
            jobs: By the name they have in logs.
            close: Called at the stop; ends every wait for a token.
            pace: How long to wait for what.
        """
        self._leader = leader
        self._jobs = jobs
        self._close = close
        self._pace = pace
        self._stopping = asyncio.Event()
        self._bells = {name: asyncio.Event() for name in jobs}
        self._troubles: dict[str, str] = {}

    def __str__(self) -> str:
        return "workflow.due"

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
        """Say what keeps the work from going on. To wait for another leader, or for Avinode, is no fault."""
        return "; ".join(filter(None, [self._leader.trouble, *self._troubles.values()])) or None

    async def _repeat(self, name: str, job: Job) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._bells[name].clear()
            try:
                is_busy = self._leader.leads and await job()
            except ShuttingDown:
                return
            except (*DATABASE_ERRORS, BrokerAway) as error:
                failures += 1
                self._troubles[name] = f"{name}: {type(error).__name__}: {error}"
                log.warning("work postponed", job=name, error=self._troubles[name])
                await self._pause(self._pace.retry_s(min(failures, 6)))
                continue
            failures = 0
            self._troubles.pop(name, None)
            if is_busy:
                self.wake()  # what was done may be another job's work
            else:
                await self._idle(name)

    async def _idle(self, name: str) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._bells[name].wait(), self._pace.idle_s)

    async def _pause(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), wait_s)
