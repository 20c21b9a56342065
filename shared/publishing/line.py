"""The line that a publisher speaks over: one connection, opened again whenever it is lost.

While it is open, what must be there is made or looked for again and again: somebody may have deleted a queue.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from prometheus_client import Gauge

from shared.backoff import Delays
from shared.broker.connection import (
    Disconnected,
    Prepare,
    describe,
    disconnections,
    is_blocked,
    open_connection,
    prepared,
    until_unblocked,
)
from shared.broker.wire import Wire, WiredConnection, wire_of
from shared.errors import BrokerAway
from shared.publishing.confirms import ConfirmedChannel, SilenceWatch
from shared.publishing.publication import Publication
from shared.settings import Settings

LOOK_EVERY_S = 5.0  # some forty small calls, 0.15 s of waiting on a broker that is busy
LARGEST_FRAME = 131072
BLOCKED = "blocked: the broker has a memory or disk alarm"

AWAY = Gauge(
    "tripthread_broker_away", "1 while nothing can be sent over this connection, an alarm included", ["connection"]
)
ALARM = Gauge(
    "tripthread_broker_blocked", "1 while the broker refuses messages, for a memory or disk alarm", ["connection"]
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HintChannel:
    """A channel without confirms: what is sent on it is sent."""

    wire: Wire
    number: int
    frame_max: int

    def send(self, publication: Publication) -> bool:
        """Send a message, or drop it where the broker does not take more at the moment."""
        can_send = self.wire.is_writable and not self.wire.is_closing
        if can_send:
            self.wire.write(publication.frames(self.number, self.frame_max, mandatory=False))
        return can_send


@dataclass(frozen=True)
class Line:
    """An open connection to a broker that has everything."""

    connection: AbstractConnection
    confirmed: ConfirmedChannel
    hints: HintChannel
    channels: Sequence[AbstractChannel]  # of these two; aio-pika forgets whoever nobody holds
    lost: asyncio.Future[str]

    def lose(self, reason: str) -> None:
        """Have it opened again."""
        if not self.lost.done():
            self.lost.set_result(reason)
            self.confirmed.lose(reason)

    async def until_unblocked(self) -> None:
        """Wait for the end of the broker's alarm, or of the line; returns at once where there is none."""
        if is_blocked(self.connection):
            waiting = asyncio.create_task(until_unblocked(self.connection))
            try:
                await asyncio.wait((waiting, self.lost), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()


class KeptLine:
    """Keeps one line open, in a task of its own."""

    def __init__(self, settings: Settings, name: str, prepare: Prepare) -> None:
        self._settings = settings
        self._name = name
        self._prepare = prepare
        self._trouble = "not connected yet"
        self._tried = asyncio.Event()
        self._changed = asyncio.Event()
        self._refusing = self._closing = False
        self._delays = Delays()
        self.line: Line | None = None
        self.lacks: str | None = None  # what is missing or of another shape, while the line is open
        AWAY.labels(name).set_function(lambda: self.away is not None)
        ALARM.labels(name).set_function(lambda: self.away == BLOCKED)

    @property
    def away(self) -> str | None:
        """Why nothing can be sent now; None where it can."""
        if self.line is None:
            return self._trouble
        return BLOCKED if is_blocked(self.line.connection) else None

    async def open(self) -> None:
        """Try to connect once, and go on trying where that fails."""
        self._keeper = asyncio.create_task(self._keep(), name=self._name)
        await self._tried.wait()

    def refuse(self) -> None:
        """Let nobody wait for the line any more: the end is near."""
        self._refusing = True
        self._changed.set()

    async def close(self) -> None:
        self._closing = True
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        if not self._keeper.cancelled():
            self._keeper.result()  # raises what it ended by

    async def get(self) -> Line:
        """Wait for the line to be open.

        Raises:
            BrokerAway: It is not to be used any more.
        """
        while True:
            if self._refusing:
                raise BrokerAway("the publisher is closed")
            if self.line is not None:
                return self.line
            self._changed.clear()
            await self._changed.wait()

    def worked(self) -> None:
        """Take note that something was sent, so that the next outage begins with short waits again."""
        self._delays.reset()

    async def _keep(self) -> None:
        try:
            # Not for ever: Python 3.11's wait_for loses a cancellation that comes together with what it waits for.
            while not self._refusing:
                await self._be_connected()
                log.debug("publisher disconnected", reason=self._trouble)
                await asyncio.sleep(self._delays.next())
        except BaseException as error:
            self._trouble = f"ended by {describe(error)}"
            raise
        finally:
            self._tried.set()

    async def _be_connected(self) -> None:
        """Connect, and return when the connection is lost or cannot be had."""
        try:
            async with open_connection(self._settings, self._name, self._prepare, WiredConnection) as connection:
                line = await _open_channels(connection)
                if self._refusing:
                    return
                self._use(line)
                self._trouble = await self._watched(line)
                self.line = None  # before the connection is closed, which may take its time
                line.lose(self._trouble)
        except Disconnected as error:
            self._trouble = error.detail
        finally:
            self.line = None
            self._tried.set()

    async def _watched(self, line: Line) -> str:
        silence_s = self._settings.publish_timeout_s
        # The other end may be gone without a word; heartbeats would tell in half a minute.
        watch = SilenceWatch(
            line.confirmed,
            silence_s,
            is_excused=lambda: is_blocked(line.connection),
            give_up=lambda: line.lose(f"no confirm and nothing else in {silence_s} s"),
        )
        try:
            return await self._look_after(line)
        finally:
            watch.end()

    async def _look_after(self, line: Line) -> str:
        """Look whether everything is there until the line is lost or to be closed, and return why it ends.

        Where it is refused, others may still wait for their confirms.
        """
        while not line.lost.done() and not self._closing:  # a look, too, may lose a cancellation
            await asyncio.wait({line.lost}, timeout=LOOK_EVERY_S)
            if not line.lost.done() and not is_blocked(line.connection):
                await self._look(line)
        return line.lost.result() if line.lost.done() else "closed"

    async def _look(self, line: Line) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await prepared(line.connection, self._prepare)
        except Disconnected as error:
            is_slow = isinstance(error.__cause__, TimeoutError)
            if not is_slow or line.confirmed.confirmed_at < began:  # a broker that confirms has much to do, is all
                self.lacks = error.detail
        else:
            self.lacks = None

    def _use(self, line: Line) -> None:
        self.line = line
        self.lacks = None
        self._tried.set()
        self._changed.set()
        log.debug("publisher connected")


async def _open_channels(connection: AbstractConnection) -> Line:
    wire = wire_of(connection)
    with disconnections():
        channels = [await connection.channel(publisher_confirms=confirms) for confirms in (True, False)]
        numbers = [(await channel.get_underlay_channel()).number for channel in channels]
    frame_max = _frame_max(connection)
    confirmed, hints = ConfirmedChannel(wire, numbers[0], frame_max), HintChannel(wire, numbers[1], frame_max)
    line = Line(connection, confirmed, hints, channels, asyncio.get_running_loop().create_future())
    for channel in channels:
        channel.close_callbacks.add(lambda _, error: line.lose(describe(error)))
    return line


def _frame_max(connection: AbstractConnection) -> int:
    """Return the bytes of the largest frame that the broker takes; where it takes any, what it sends itself."""
    transport = connection.transport
    return (transport.connection.connection_tune.frame_max if transport else 0) or LARGEST_FRAME
