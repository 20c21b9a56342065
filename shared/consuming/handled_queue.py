"""Consuming a queue by a FastStream handler, which hears one event after the other.

What is promised is what `group_commit.py` promises, but for the groups: `settling.py` says how a message
is settled. Here is what FastStream leaves to its user:

- a connection is never mended. FastStream's would be, under the same objects and with nobody told; but whoever loses
  one may also have lost its queue. Each connection has a broker of its own, and its end is that broker's.
- the queue is looked for, never declared: services may not. Where it is missing it is waited for, and told of.
- where nothing has come for long there is a new connection: RabbitMQ 3.10 tells no consumer of a quorum queue's
  deletion where somebody declares it again at once, and then takes messages for delivered that never come.
- a database that was away for too long: consuming stops, and the connection is closed, which gives the deliveries
  back, once an outage. The message that failed is the probe: when its commit succeeds, consuming begins anew.
- what cannot be mended leaves `run`, and so ends the process.
- the end: FastStream would take deliveries that it then forgets while it waits for its handlers. Here what has
  arrived is settled first, then the consumer is cancelled, the channel closed, and the connection.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity
from faststream.rabbit import RabbitBroker

from shared.broker.connection import CONNECT_TIMEOUT_S, Disconnected, disconnections, prepared
from shared.broker.declaring import require
from shared.consuming.consumer import Consumer
from shared.consuming.handler_broker import Hear, make_broker, stop_broker
from shared.consuming.introduction import SAID_AFTER_S
from shared.consuming.patient_commit import PATIENCE_S
from shared.consuming.settling import Call, Settling, call
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import Queue

LOOK_EVERY_S = 5.0
# How long nothing may come before there is a new connection. The group commit takes a new channel after 15 s, which
# FastStream cannot; and the broker writes three lines about each connection.
QUIET_S = 60.0
log = structlog.get_logger(__name__)


class HandledQueue(Consumer[Call]):
    """Lets a handler hear the events of one queue. See the module for what it promises."""

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        hear: Hear,
        *,
        publisher: Publisher,
        settled: Callable[[], None] = lambda: None,
        patience_s: float = PATIENCE_S,
        look_every_s: float = LOOK_EVERY_S,
        quiet_s: float = QUIET_S,
        said_after_s: Sequence[float] = SAID_AFTER_S,
    ) -> None:
        """Prepare to consume.

        Args:
            settings: `prefetch` is this consumer's.
            queue: Where from; where it is missing, it is waited for.
            hear: The handler. It raises a database error, Poison or Away; anything else ends `run`.
            publisher: Parks messages, announces outcomes, and looks after the queue.
            settled: Called whenever all that has arrived is settled: after a lone message, and once after a burst.
            patience_s: How long an outage may last before the deliveries are given back.
            look_every_s: How often to look whether the queue is there.
            quiet_s: After how long without a message to connect anew, lest the broker has forgotten us.
            said_after_s: When to say which events the queue hears.
        """
        super().__init__(queue, publisher, call, patience_s=patience_s, said_after_s=said_after_s)
        self._settings = settings
        self._hear = hear
        self._settled = settled
        self._prepare = partial(require, queues=(queue,))
        self._look_every_s = look_every_s
        self._quiet_s = quiet_s
        self._settling: Settling | None = None

    def shut_down(self) -> None:
        """Ask `run` to settle what has arrived and return."""
        self._stopping.set()
        if self._settling is not None:
            self._settling.news.set()

    @property
    def waiting(self) -> int:
        """How many messages have arrived and are not settled, the one that is being handled included."""
        return 0 if self._settling is None else self._settling.waiting

    def settling(self) -> Settling:
        """Make what settles the messages of one connection."""
        return Settling(self._queue, self._database, self._parking, self._publisher, self._settled)

    def broker(self, settling: Settling) -> RabbitBroker:
        """Make the broker of one connection, with the handler and all that surrounds it."""
        return make_broker(self._settings, self._queue, self._hear, settling)

    async def _consume(self) -> None:
        self._settling = settling = self.settling()
        async with self._consuming(settling):
            self._trouble = None
            self._introduction.begin()
            await self._look_after(settling)

    @asynccontextmanager
    async def _consuming(self, settling: Settling) -> AsyncIterator[None]:
        """Consume; at the end settle what has arrived, or give it back."""
        broker = self.broker(settling)
        connection: AbstractConnection | None = None
        try:
            with disconnections():
                connection = await broker.connect()
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await broker.start()
            log.debug("consuming", queue=self._queue.name)
            try:
                yield
            except Exception:
                await settling.close()
                raise
            await settling.close()
        finally:
            await stop_broker(broker, connection)

    async def _look_after(self, settling: Settling) -> None:
        """Look after the queue, until we stop or nothing has come for a while.

        Raises:
            Exception: The reason why there is to be an end.
        """
        while settling.quiet_s < self._quiet_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_every_s):
                    await settling.news.wait()
            if settling.failure is not None:
                raise settling.failure
            if self._stopping.is_set():
                return
            self._delays.reset()
            await self._look()

    async def _look(self) -> None:
        """Look for the queue, over the publisher's connection.

        Raises:
            Disconnected: There is none.
        """
        connection = self._publisher.connection
        if connection is None or self._publisher.away is not None:
            return  # our own connection tells for itself
        try:
            await prepared(connection, self._prepare)
        except Disconnected as error:
            if isinstance(error.__cause__, ChannelNotFoundEntity):
                raise

    def _oldest_arrived_at(self) -> float | None:
        return self._settling.oldest_arrived_at if self._settling is not None else None
