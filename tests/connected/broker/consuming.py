"""What tests of consumers share: a stand-in for a database, and consumers of one queue that commit to it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast
from uuid import UUID

from shared import topology
from shared.consuming.decoding import decode_event
from shared.consuming.group_commit import GroupCommit
from shared.consuming.handled_queue import HandledQueue
from shared.consuming.subscription import Delivery
from shared.events import Event, MessageEvent, Outcome, Stored
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.brokers import posted
from tests.waiting import PATIENCE_S

QUEUE = topology.LOGGER_CHAT


class Memory:
    """Commits like a database: all of a group, or nothing and an error."""

    def __init__(self) -> None:
        self.stored: dict[UUID, str] = {}
        self.groups: list[list[str]] = []  # what was committed, group by group
        self.attempts = 0
        self.fault: Callable[[Sequence[MessageEvent]], BaseException | None] = lambda _: None
        self.open = asyncio.Event()
        self.open.set()

    async def commit(self, events: Sequence[MessageEvent]) -> Sequence[Outcome]:
        self.attempts += 1
        await self.open.wait()
        if error := self.fault(events):
            raise error
        self.groups.append([event.content for event in events])
        self.stored |= {event.event_id: event.content for event in events}
        return [Stored(user_id="ada", session_id="s1", causes=tuple(event.event_id for event in events))]

    @property
    def contents(self) -> list[str]:
        return [content for group in self.groups for content in group]


def texts(count: int) -> list[str]:
    return [f"message {number}" for number in range(count)]


Consumer = GroupCommit[MessageEvent]


def decode_message(delivery: Delivery) -> MessageEvent:
    return cast(MessageEvent, decode_event(delivery))  # what else comes is parked


def consumer(
    settings: Settings,
    memory: Memory,
    publisher: Publisher,
    *,
    patience_s: float = 5.0,
    quiet_s: float = 10.0,
    begin: Callable[[], None] = lambda: None,
) -> Consumer:
    return GroupCommit(
        settings,
        QUEUE,
        decode=decode_message,
        commit=memory.commit,
        publisher=publisher,
        patience_s=patience_s,
        quiet_s=quiet_s,
        begin=begin,
    )


def handled(
    settings: Settings,
    memory: Memory,
    publisher: Publisher,
    *,
    queue: topology.Queue = QUEUE,
    patience_s: float = 5.0,
    look_every_s: float = 5.0,
    quiet_s: float = 60.0,
) -> HandledQueue:
    """Make a consumer whose handler stores what it hears."""

    async def hear(event: Event) -> Sequence[Outcome]:
        return await memory.commit([cast(MessageEvent, event)])

    return HandledQueue(
        settings,
        queue,
        hear,
        publisher=publisher,
        patience_s=patience_s,
        look_every_s=look_every_s,
        quiet_s=quiet_s,
    )


def arrived(worker: Consumer) -> int:
    """Count what waits for the commit in flight to end."""
    return len(worker._subscription._buffer) if worker._subscription is not None else 0


@asynccontextmanager
async def running(worker: Consumer | HandledQueue) -> AsyncIterator[asyncio.Task[None]]:
    """Run a consumer, and stop it in good order."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.shut_down()
        async with asyncio.timeout(PATIENCE_S):
            await task


async def crash(task: asyncio.Task[None]) -> None:
    """End a consumer as a killed process ends: no ack, no farewell to the queue."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def publish(publisher: Publisher, count: int) -> None:
    for number in range(count):
        await publisher.publish(posted(number))
