"""Look over the broker's shoulder: which event went to which queue, and which outcome came back."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from shared.events import EVENTS
from shared.topology import EVENTS_EXCHANGE, OUTCOMES_EXCHANGE, QUEUES

_HEARD_BY = {event.__name__: ", ".join(queue.name for queue in QUEUES if event in queue.hears) for event in EVENTS}


class Watch:
    """What went over the broker since the last look."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.seen: set[str] = set()
        self._news = asyncio.Event()

    async def event(self, message: AbstractIncomingMessage) -> None:
        name = message.type or "?"
        self._add(name, f"event    {name:<20} -> {_HEARD_BY.get(name, 'nobody')}")

    async def outcome(self, message: AbstractIncomingMessage) -> None:
        for outcome in json.loads(message.body):
            name = outcome["outcome"]
            about = outcome.get("session_tag") or outcome.get("trip_id") or outcome["session_id"]
            self._add(name, f"outcome  {name:<20} <- {about}")

    async def until(self, *names: str) -> None:
        """Wait until each of these was seen since the last `take`."""
        async with asyncio.timeout(20):
            while not self.seen.issuperset(names):
                self._news.clear()
                await self._news.wait()

    def take(self) -> list[str]:
        """Return the lines since the last time."""
        lines, self.lines, self.seen = self.lines, [], set()
        return lines

    def _add(self, name: str, line: str) -> None:
        self.lines.append(line)
        self.seen.add(name)
        self._news.set()


@asynccontextmanager
async def watching(amqp_url: str) -> AsyncIterator[Watch]:
    """Watch by queues of our own, which take nothing away from anybody and vanish at the end."""
    watch = Watch()
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for exchange, key, hear in ((EVENTS_EXCHANGE, "#", watch.event), (OUTCOMES_EXCHANGE, "", watch.outcome)):
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, key)
            await queue.consume(hear, no_ack=True)
        yield watch
