"""The bytes of one connection to the broker, for what is done so often that aiormq's way of doing it costs too much.

aiormq makes the connection and keeps it: handshake, login, channels, heartbeats, the broker's alarms. But a frame that
it reads takes three awaits, a decoded object, a queue and a task, and one that it writes as much. So whoever has a
channel of its own here may take frames of that channel off before aiormq sees them, and write whole frames past it.

It needs of aiormq (7.2.4) that a transport may be given to it (`transport_factory`, which aio-pika 10.2.1 passes on
from `kwargs`), and that it writes whole frames: `tests/connected/broker/test_wired_connection.py` fails where that
changes.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

METHOD, HEADER, BODY = 1, 2, 3  # the kinds of frames that a channel has
BASIC = 60  # the class of the methods that messages come and go by
PREFIX = struct.Struct(">BHL")  # a frame's kind, channel, and the length of its payload; that and an end byte follow
END = b"\xce"
HEARTBEAT = PREFIX.pack(8, 0, 0) + END
HEARTBEAT_EVERY_S = 1.0
MOST_HELD = 64 * 1024  # bytes: of more only the transport knows when the other end takes no more

# Is given a frame's kind and payload, and says whether it takes the frame; aiormq never sees one that is taken.
Take = Callable[[int, bytes], bool]


class WiredConnection(aio_pika.Connection):
    """A connection whose bytes can be got at, by `wire_of`."""

    def __init__(self, url: URL, *args: Any, **kwargs: Any) -> None:
        super().__init__(url, *args, **kwargs)
        self.transports = _WiredTransports(TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory())
        self.kwargs["transport_factory"] = self.transports


def wire_of(connection: AbstractConnection) -> "Wire":
    """Return the wire of a `WiredConnection` that is open."""
    wire = cast(WiredConnection, connection).transports.wire
    if wire is None:
        raise RuntimeError("not connected")
    return wire


class _WiredTransports(TransportFactory):
    """Puts a wire between a transport and aiormq's protocol for it."""

    def __init__(self, plain: TransportFactory) -> None:
        self._plain = plain
        self.wire: Wire | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._plain.create(url, **kwargs)
        self.wire = Wire(cast(asyncio.Transport, writer.transport))
        return reader, writer


class Wire(asyncio.Protocol):
    """Passes on what comes, but for the frames that somebody takes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._inner = cast(asyncio.Protocol, transport.get_protocol())
        self._loop = asyncio.get_running_loop()
        self._takers: dict[int, Take] = {}
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._rest = b""
        self._passed_on_at = self.heard_at = self._loop.time()  # heard_at: when anything came last, by the loop's clock
        self._writable = asyncio.Event()
        self._writable.set()
        transport.set_protocol(self)

    @property
    def is_writable(self) -> bool:
        """Whether the other end takes what is written; where not, `write` only heaps it up."""
        return self._writable.is_set()

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def take(self, channel: int, take: Take) -> None:
        """Let somebody have this channel's frames first."""
        self._takers[channel] = take

    def leave(self, channel: int) -> None:
        """Let nobody have them any more: another channel may come to have the number."""
        self._takers.pop(channel, None)

    def write(self, frames: bytes) -> None:
        """Write whole frames of a channel that nobody else writes on.

        All that is written in one turn of the event loop goes out at once: each write is a system call, and wakes the
        broker.
        """
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(frames)
        self._held_bytes += len(frames)
        if self._held_bytes > MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Have it go out now."""
        if self._held:
            data, self._held, self._held_bytes = b"".join(self._held), [], 0
            if not self._transport.is_closing():
                self._transport.write(data)

    async def until_writable(self) -> None:
        """Wait until the other end takes what is written, or is gone."""
        await self._writable.wait()

    def stop_waiting(self) -> None:
        """Let nobody wait for the other end any more: the connection is given up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        now = self.heard_at = self._loop.time()
        if self._rest:
            data = self._rest + data
        at = passed_on = 0
        while len(data) - at > PREFIX.size:
            kind, channel, length = PREFIX.unpack_from(data, at)
            end = at + PREFIX.size + length + len(END)
            if end > len(data):
                break
            take = self._takers.get(channel)
            if take is not None and take(kind, data[at + PREFIX.size : end - len(END)]):
                self._pass_on(data[passed_on:at])
                passed_on = end
            at = end
        self._rest = data[at:]
        self._pass_on(data[passed_on:at])
        if now - self._passed_on_at >= HEARTBEAT_EVERY_S:
            # aiormq takes a connection for lost where it sees no frame for long, and a broker that sends others sends
            # no heartbeats.
            self._pass_on(HEARTBEAT)

    def _pass_on(self, frames: bytes) -> None:
        if frames:
            self._passed_on_at = self.heard_at
            self._inner.data_received(frames)

    def pause_writing(self) -> None:
        self._writable.clear()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        self._inner.resume_writing()

    def eof_received(self) -> bool | None:
        self._pass_on(self._rest)  # of what is no AMQP, or was cut off
        self._rest = b""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._inner.connection_lost(exc)
