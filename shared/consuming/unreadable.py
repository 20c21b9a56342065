"""Reading on where a message's properties cannot be read.

A message whose type or routing key is not UTF-8, or whose timestamp lies beyond the year 9999, is legal to RabbitMQ,
but kills the connection of whoever decodes it with pamqp, again and again, and its neighbours' delivery counts rise
each time. On a careful connection such properties are taken off before they are decoded; the body comes through, and a
header says what was wrong. A routing key, of which nobody wants to know, is made readable. Looking at every header
twice costs an eighth of the consumer's time, so a consumer is careful only after it has lost a connection that way.
Who takes deliveries off the wire by themselves (`subscription.py`) decodes no route, and properties here.
"""

import asyncio
import struct
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import InvalidFrameError
from pamqp import constants, frame
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader
from yarl import URL

UNREADABLE = "x-unreadable"  # the header that says why the others are gone

# What decoding a frame can end with, and so what a connection that met one was lost by.
FRAME_ERRORS = (InvalidFrameError, PAMQPException, ValueError, ArithmeticError, RecursionError, struct.error)

_PREFIX = struct.Struct(">BHL")  # frame type, channel, length of the payload; the payload and an end byte follow

_DELIVER = struct.pack(">HH", spec.Basic.frame_id, spec.Basic.Deliver.frame_id)


def be_careful(connection: AbstractConnection) -> None:
    """Let a connection survive unreadable properties from the next time on that it connects."""
    if isinstance(connection, aio_pika.Connection):
        plain = TLSTransportFactory() if connection.url.scheme == "amqps" else TCPTransportFactory()
        connection.kwargs["transport_factory"] = _CarefulTransport(plain)


class _CarefulTransport(TransportFactory):
    def __init__(self, plain: TransportFactory) -> None:
        self._plain = plain

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await self._plain.create(url, **kwargs)
        return _CarefulReader(reader), writer


class _CarefulReader(asyncio.StreamReader):
    """Hands out the bytes of one frame after the other, each of which is known to be readable."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        super().__init__()
        self._stream = stream
        self._frame = b""

    async def readexactly(self, n: int) -> bytes:
        if not self._frame:
            self._frame = await self._next_frame()
        piece, self._frame = self._frame[:n], self._frame[n:]
        return piece

    async def _next_frame(self) -> bytes:
        prefix = await self._stream.readexactly(_PREFIX.size)
        kind, channel, length = _PREFIX.unpack(prefix)
        whole = prefix + await self._stream.readexactly(length + 1)
        return whole if kind == constants.FRAME_BODY else readable_frame(whole, channel)


def readable_frame(whole: bytes, channel: int) -> bytes:
    """Return a frame as it is, or stripped of what cannot be decoded."""
    try:
        frame.unmarshal(whole)
    except FRAME_ERRORS as error:
        if whole[0] == constants.FRAME_HEADER:
            return _without_properties(whole, channel, error)
        if whole[_PREFIX.size :].startswith(_DELIVER):
            return _with_readable_route(whole)
    return whole


def readable_properties(header: bytes) -> spec.Basic.Properties:
    """Decode the properties that a header frame's payload has; where they cannot be, say why in their stead."""
    decoded = ContentHeader()
    try:
        decoded.unmarshal(header)
    except FRAME_ERRORS as error:
        return _no_properties(error)
    return decoded.properties or spec.Basic.Properties()


def _no_properties(error: Exception) -> spec.Basic.Properties:
    return spec.Basic.Properties(headers={UNREADABLE: str(error)[:1000]})


def _without_properties(whole: bytes, channel: int, error: Exception) -> bytes:
    (body_size,) = struct.unpack_from(">Q", whole, _PREFIX.size + 4)
    return frame.marshal(ContentHeader(body_size=body_size, properties=_no_properties(error)), channel)


def _with_readable_route(whole: bytes) -> bytes:
    """Put question marks into the names of a delivery's exchange and routing key, which are its last two fields."""
    text = bytearray(whole)
    at = _PREFIX.size + len(_DELIVER)
    at += 1 + text[at] + 8 + 1  # the consumer's tag, the delivery's, and whether it was delivered before
    for _ in ("exchange", "routing key"):
        begin, at = at + 1, at + 1 + text[at]
        text[begin:at] = bytes(byte if byte < 0x80 else ord("?") for byte in text[begin:at])
    return bytes(text)
