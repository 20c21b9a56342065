"""Look over the broker's shoulder: which event went to which queue, and which outcome came back."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from shared.events import ConsumerStarted
from shared.topology import EVENTS_EXCHANGE, OUTCOMES_EXCHANGE, QUEUES

_KEYS = {queue.name: {*(event.routing_key() for event in queue.hears), *queue.hears_by} for queue in QUEUES}


class Watch:
    """What went over the broker since the last look."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()  # by name; an outcome counts for each event that it answers
        self._lines: Counter[str] = Counter()
        self._news = asyncio.Event()

    async def event(self, message: AbstractIncomingMessage) -> None:
        name = message.type or "?"
        if name == ConsumerStarted.__name__:
            return  # what a consumer says of itself, now and then, is no part of a conversation
        hear = [queue for queue, keys in _KEYS.items() if message.routing_key in keys]
        self._add(name, f"event    {name:<20} -> {', '.join(hear) or 'nobody'}")

    async def outcome(self, message: AbstractIncomingMessage) -> None:
        for outcome in json.loads(message.body):
            name = outcome["outcome"]
            self._add(name, f"outcome  {name:<20} <- {_subject(outcome)}", times=max(1, len(outcome["causes"])))

    async def until(self, *names: str) -> None:
        """Wait until each of these was seen as often as it is named, since the last `take`."""
        async with asyncio.timeout(20):
            while not self.seen >= Counter(names):
                self._news.clear()
                await self._news.wait()

    def take(self) -> list[str]:
        """Return the lines since the last time, each once."""
        lines = [f"{line}  ({times} times)" if times > 1 else line for line, times in self._lines.items()]
        self._lines, self.seen = Counter(), Counter()
        return lines

    def _add(self, name: str, line: str, times: int = 1) -> None:
        self._lines[line] += 1
        self.seen[name] += times
        self._news.set()


def _subject(outcome: dict[str, Any]) -> str:
    if "session_tag" in outcome:
        return str(outcome["session_tag"])
    return f"trip {outcome['trip_id']}" if "trip_id" in outcome else f"session {outcome['session_id']}"


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
