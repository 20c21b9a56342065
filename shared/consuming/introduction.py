"""A consumer says which events it hears, so that what an older one has refused as unknown is sent to its queue again.

It says so when it begins to consume, and a few times more: where an upgrade starts the new before it stops the old, an
old one may be handed such a message once more, and refuse it once more. After that it says nothing, so a message that
is always refused does not go round for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from shared.backoff import Delays, pause
from shared.errors import BrokerAway
from shared.events import ConsumerStarted
from shared.publishing.publisher import Publisher
from shared.topology import Queue

# The first since it began to consume, each other since the one before: a rolling upgrade is over after that.
SAID_AFTER_S = (0.0, 60.0, 600.0, 3600.0)

log = structlog.get_logger(__name__)


class Introduction:
    """What one consumer says of itself, in the background."""

    def __init__(
        self, publisher: Publisher, queue: Queue, stopping: asyncio.Event, said_after_s: Sequence[float] = SAID_AFTER_S
    ) -> None:
        self._publisher = publisher
        self._queue = queue
        self._stopping = stopping
        self._said_after_s = said_after_s
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Take note that the queue is being consumed; only the first time counts."""
        self._begun.set()

    @asynccontextmanager
    async def under_way(self, give_up: Callable[[], None]) -> AsyncIterator[None]:
        """Introduce the consumer while the block runs; `give_up` is called where that fails as nobody foresaw."""
        saying = asyncio.create_task(self._introduce(), name=f"{self._queue.name} introduction")
        saying.add_done_callback(lambda task: give_up() if not task.cancelled() and task.exception() else None)
        try:
            yield
        finally:
            saying.cancel()
            await asyncio.wait({saying})
        if not saying.cancelled():
            saying.result()  # raises what it ended by

    async def _introduce(self) -> None:
        if not self._queue.hears:
            return
        await self._begun.wait()
        for wait_s in self._said_after_s:
            await pause(wait_s, self._stopping)
            await self._say()

    async def _say(self) -> None:
        """Say it, however long the broker is away."""
        hears = tuple(event.__name__ for event in self._queue.hears)
        started = ConsumerStarted(queue=self._queue.name, hears=hears)
        delays = Delays(first_s=0.5, longest_s=30.0)
        while not self._stopping.is_set():
            try:
                await self._publisher.publish(started)
            except BrokerAway as away:
                log.debug("not introduced yet", queue=self._queue.name, away=away.detail)
                await pause(delays.next(), self._stopping)
            else:
                return
