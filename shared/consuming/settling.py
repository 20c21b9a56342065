"""What becomes of a message that a handler hears: it is settled, waited with, or parked. A FastStream middleware.

FastStream deletes what fails unless told otherwise, and swallows every error. So handlers acknowledge nothing, and all
of it is here, for every queue that handlers hear:

- one message at a time, in the order in which they came.
- acknowledged only after its commit, on the channel that brought it. Where that is gone there is no ack, and the
  message comes again: commits must be safe to repeat.
- a message that can never succeed is parked in `dead` with its reason, and acknowledged once that is confirmed; only
  when parking fails, too, is it rejected, and dead-lettered by the broker.
- a database that is away is waited out with the same message, while nothing else is begun and the broker sends no more
  than `prefetch`.
- what nobody can mend here is told to whoever runs the consumer (`handled_queue.py`), and nothing else is begun.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import structlog
from aio_pika import IncomingMessage
from faststream import BaseMiddleware, ContextRepo
from faststream.message import StreamMessage

from shared.broker.connection import disconnections
from shared.consuming.bisection import Guilty
from shared.consuming.decoding import read_event
from shared.consuming.parking import Parking
from shared.consuming.patient_commit import PatientCommit
from shared.errors import Poison
from shared.events import Event, Outcome
from shared.publishing.publisher import Publisher
from shared.topology import Queue

Message = StreamMessage[IncomingMessage]

# Handles one message, and returns the outcomes to announce. It is safe to repeat.
Call = Callable[[], Awaitable[Sequence[Outcome]]]


class Settling:
    """Settles the messages of one connection; FastStream makes a middleware of it for each message."""

    def __init__(
        self,
        queue: Queue,
        database: PatientCommit[Call],
        parking: Parking,
        publisher: Publisher,
        settled: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            queue: Whose messages come.
            database: Where handlers commit.
            parking: Takes what can never succeed.
            publisher: Announces outcomes.
            settled: Called when all that has arrived is settled.
        """
        self._queue = queue
        self._database = database
        self._parking = parking
        self._publisher = publisher
        self._settled = settled
        self._turn = asyncio.Lock()
        self._arrived_at: dict[object, float] = {}  # of each that is not settled, the oldest first
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self.failure: Exception | None = None  # why nothing else is begun
        self.news = asyncio.Event()  # set with `failure`
        self._last_at = time.monotonic()  # when anything came, or was settled

    def __call__(self, message: IncomingMessage | None, /, *, context: ContextRepo) -> "_Settled":
        return _Settled(message, context=context, settling=self)

    @property
    def oldest_arrived_at(self) -> float | None:
        return next(iter(self._arrived_at.values()), None)

    @property
    def waiting(self) -> int:
        return len(self._arrived_at)

    @property
    def quiet_s(self) -> float:
        """For how long nothing has come."""
        return 0.0 if self._arrived_at else time.monotonic() - self._last_at

    def give_up(self, error: Exception) -> None:
        """Begin nothing else; what is not settled goes back to the queue with the channel."""
        if self.failure is None:
            self.failure = error
            self.news.set()

    async def close(self) -> None:
        """Take no more, and return when all that has arrived is settled, or given up."""
        self._closing = True
        await self._idle.wait()

    async def settle(self, message: Message, call: Call) -> None:
        """Settle one message when its turn comes; no error leaves here, since FastStream would swallow it."""
        if self._closing:
            return
        arrival = object()
        self._arrived_at[arrival] = self._last_at = time.monotonic()
        self._idle.clear()
        try:
            async with self._turn:
                if self.failure is None:
                    await self._settle(message, call)
        except Exception as error:  # noqa: BLE001 - the last that sees it
            self.give_up(error)
        finally:
            del self._arrived_at[arrival]
            self._last_at = time.monotonic()
            if not self._arrived_at:
                self._idle.set()
                self._settled()

    async def _settle(self, message: Message, call: Call) -> None:
        with structlog.contextvars.bound_contextvars(queue=self._queue.name):
            try:
                await self._publisher.announce(await self._commit(message, call))
            except Poison as error:
                await self._parking.park(message.raw_message, error, partial(_reject, message))
            except Guilty as guilt:
                await self._parking.park(message.raw_message, guilt.error, partial(_reject, message))
            if message.committed is None:
                with disconnections():
                    await message.ack()

    async def _commit(self, message: Message, call: Call) -> Sequence[Outcome]:
        event = await message.decode()
        if type(event) in self._queue.no_longer_hears:
            return ()
        return await self._database.commit([call])


class _Settled(BaseMiddleware[Any, Any]):
    """One message's way through FastStream."""

    def __init__(self, message: IncomingMessage | None, /, *, context: ContextRepo, settling: Settling) -> None:
        super().__init__(message, context=context)
        self._settling = settling

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Message) -> None:
        await self._settling.settle(msg, partial(call_next, msg))

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool:
        if isinstance(exc_val, Exception):  # of another middleware's, or FastStream's own
            self._settling.give_up(exc_val)
        return False


def decoder_of(queue: Queue) -> Callable[[Message], Awaitable[Event]]:
    """Make what reads a queue's messages; it raises Poison for what the queue does not hear."""

    async def decode(message: Message) -> Event:
        return read_event(message.raw_message, queue)

    return decode


async def parse(message: IncomingMessage, original: Callable[[IncomingMessage], Awaitable[Message]]) -> Message:
    """Read a message's properties, but of its headers only texts: a stranger's numbers end FastStream's telemetry."""
    parsed = await original(message)
    parsed.headers = {name: value for name, value in parsed.headers.items() if isinstance(value, str)}
    return parsed


async def _reject(message: Message) -> None:
    with disconnections():
        await message.reject()


async def call(group: Sequence[Call]) -> Sequence[Outcome]:
    """Handle one message, for `PatientCommit`, whose groups are of one here."""
    return await group[0]()
