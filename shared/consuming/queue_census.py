"""Count what waits in each queue, and who reads it: a consumer that is away can't tell of its own lag."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import nan

from aio_pika.abc import AbstractConnection
from prometheus_client import Gauge

from shared.broker.channels import passing_channel
from shared.broker.connection import Disconnected, disconnections
from shared.publishing.publisher import Publisher
from shared.topology import DEAD, QUEUES

TIMEOUT_S = 5.0

MESSAGES = Gauge("tripthread_queue_messages", "Messages that wait in a queue, delivered ones not counted", ["queue"])
CONSUMERS = Gauge("tripthread_queue_consumers", "Consumers of a queue", ["queue"])


Note = Callable[[Sequence[tuple[str, float, float]]], Awaitable[None]]  # name, messages, consumers; it raises nothing


async def _note_nothing(_: Sequence[tuple[str, float, float]]) -> None:
    """Keep no history."""


class QueueCensus:
    """Asks over the connection of a publisher, and passes on what it was told."""

    def __init__(self, publisher: Publisher, note: Note = _note_nothing) -> None:
        self._publisher = publisher
        self._note = note

    async def count(self) -> None:
        counts = []
        for name in {queue.name for queue in (*QUEUES, DEAD)}:
            messages, consumers = await count_queue(self._publisher, name)
            MESSAGES.labels(name).set(messages)
            CONSUMERS.labels(name).set(consumers)
            counts.append((name, messages, consumers))
        await self._note(counts)


async def count_queue(publisher: Publisher, name: str) -> tuple[float, float]:
    """Return how many messages wait in a queue, delivered ones not counted, and its consumers; NaN where unknown."""
    connection = publisher.connection
    if connection is None or publisher.away is not None:
        return nan, nan
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _declared(connection, name)
    except (Disconnected, TimeoutError):  # also where there is no such queue
        return nan, nan


async def _declared(connection: AbstractConnection, name: str) -> tuple[float, float]:
    """Look at a queue on a channel of its own, which the broker closes where there is none; it needs no permission."""
    with disconnections():
        async with passing_channel(connection) as channel:
            found = await channel.queue_declare(name, passive=True)
            return found.message_count or 0, found.consumer_count or 0
