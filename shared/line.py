"""The line that a publisher speaks over: one connection, opened again whenever it is lost.

While it is open, what must be there is made or looked for again and again: somebody may have deleted a queue.
"""

import asyncio
from dataclasses import dataclass

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from prometheus_client import Gauge

from shared.backoff import Delays
from shared.connection import Disconnected, Prepare, describe, disconnections, is_blocked, open_connection, prepared
from shared.errors import BrokerAway
from shared.settings import Settings

LOOK_EVERY_S = 5.0  # some forty small calls, 0.15 s of waiting on a broker that is busy
BLOCKED = "blocked: the broker has a memory or disk alarm"

AWAY = Gauge(
    "tripthread_broker_away", "1 while nothing can be sent over this connection, an alarm included", ["connection"]
)
ALARM = Gauge(
    "tripthread_broker_blocked", "1 while the broker refuses messages, for a memory or disk alarm", ["connection"]
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Line:
    """An open connection to a broker that has everything."""

    connection: AbstractConnection
    confirmed: AbstractChannel
    hints: AbstractChannel  # without confirms
    lost: asyncio.Future[str]

    def lose(self, reason: str) -> None:
        """Have it opened again."""
        if not self.lost.done():
            self.lost.set_result(reason)


class KeptLine:
    """Keeps one line open, in a task of its own."""

    def __init__(self, settings: Settings, name: str, prepare: Prepare) -> None:
        self._settings = settings
        self._name = name
        self._prepare = prepare
        self._trouble = "not connected yet"
        self._tried = asyncio.Event()
        self._changed = asyncio.Event()
        self._refusing = False
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
            async with open_connection(self._settings, self._name, self._prepare) as connection:
                line = await _open_channels(connection)
                if self._refusing:
                    return
                self._use(line)
                self._trouble = await self._look_after(line)
                self.line = None  # before the connection is closed, which may take its time
        except Disconnected as error:
            self._trouble = error.detail
        finally:
            self.line = None
            self._tried.set()

    async def _look_after(self, line: Line) -> str:
        """Look whether everything is there until the line is lost or to be closed, and return why it ends."""
        while not line.lost.done() and not self._refusing:  # a look, too, may lose a cancellation
            await asyncio.wait({line.lost}, timeout=LOOK_EVERY_S)
            if not line.lost.done() and not is_blocked(line.connection):
                await self._look(line)
        return line.lost.result() if line.lost.done() else "closed"

    async def _look(self, line: Line) -> None:
        try:
            await prepared(line.connection, self._prepare)
        except Disconnected as error:
            self.lacks = error.detail  # also that it took too long: the line may well carry what is published
        else:
            self.lacks = None

    def _use(self, line: Line) -> None:
        self.line = line
        self.lacks = None
        self._tried.set()
        self._changed.set()
        log.debug("publisher connected")


async def _open_channels(connection: AbstractConnection) -> Line:
    with disconnections():
        confirmed = await connection.channel(on_return_raises=True)
        hints = await connection.channel(publisher_confirms=False)
    line = Line(connection, confirmed, hints, asyncio.get_running_loop().create_future())
    for channel in (confirmed, hints):
        channel.close_callbacks.add(lambda _, error: line.lose(describe(error)))
    return line
