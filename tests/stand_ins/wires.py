"""A wire without a network, for tests: what is written on it is kept, and what the broker says is said by hand."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pamqp.frame
from aiormq import spec
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shared.broker.wire import Wire

FRAME_MAX = 4096


class Passed(asyncio.Protocol):
    """Stands where aiormq reads."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def pause_writing(self) -> None:
        """Take note of nothing, as a bare protocol does."""

    def resume_writing(self) -> None:
        """Take note of nothing."""


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.passed = Passed()
        self.protocol: asyncio.BaseProtocol = self.passed
        self.written = b""
        self.closing = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing


class FakeWire(Wire):
    """A wire whose other end is a test."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        super().__init__(self.transport)

    def say(self, channel: int, *frames: Any) -> None:
        """Say something as the broker."""
        self.data_received(b"".join(pamqp.frame.marshal(frame, channel) for frame in frames))

    @property
    def written(self) -> list[Any]:
        """Everything that was written, frame by frame."""
        self.flush()
        frames, rest = list[Any](), self.transport.written
        while rest:
            length, _, frame = pamqp.frame.unmarshal(rest)
            frames.append(frame)
            rest = rest[length:]
        return frames


class FakeConnection:
    """Has a wire, and channels that are open."""

    def __init__(self) -> None:
        self.transports = SimpleNamespace(wire=FakeWire())
        self.transport = None
        self._numbers = iter(range(1, 100))

    async def channel(self, **_: object) -> Any:
        number = next(self._numbers)

        async def underlay() -> Any:
            return SimpleNamespace(number=number)

        return SimpleNamespace(close_callbacks=set(), get_underlay_channel=underlay)


def returned(message_id: str, body: bytes = b"") -> list[Any]:
    """Make the frames by which a message comes back that no queue takes."""
    header = ContentHeader(body_size=len(body), properties=spec.Basic.Properties(message_id=message_id))
    frames: list[Any] = [spec.Basic.Return(312, "NO_ROUTE", "events", "nowhere"), header]
    return frames + ([ContentBody(body)] if body else [])
