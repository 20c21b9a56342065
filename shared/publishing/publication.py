"""One message for an exchange, and the frames it is sent as, in one piece.

pamqp makes an object of every frame and looks at every field's type, which costs half of what a publish takes. We set
six properties out of fourteen, so they are spelled here; a test holds every byte against pamqp's.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from shared.broker.wire import BASIC, BODY, END, HEADER, METHOD, PREFIX

PERSISTENT = 2  # AMQP's delivery mode
PUBLISH = 40  # the method `basic.publish`

_PUBLISH = struct.Struct(">HHH")  # class, method and a reserved field; exchange, key and flags follow
_HEADER = struct.Struct(">HHQH")  # class, weight, the body's size and which properties there are, which follow
_LONG = struct.Struct(">L")

# Which properties there are, as bits, in the order in which they come.
CONTENT_TYPE, HEADERS, DELIVERY_MODE, CORRELATION_ID, MESSAGE_ID, TYPE = (1 << bit for bit in (15, 13, 12, 10, 7, 5))


class Publication(NamedTuple):
    """One message, and where it goes."""

    exchange: str
    key: str
    body: bytes
    headers: Mapping[str, str]
    content_type: str | None = None
    is_persistent: bool = False
    correlation_id: str | None = None
    message_id: str | None = None
    type: str | None = None

    def frames(self, channel: int, frame_max: int, *, mandatory: bool) -> bytes:
        """Spell it for one channel.

        Args:
            channel: By its number.
            frame_max: The largest frame that the broker takes, in bytes.
            mandatory: Have it returned where no queue takes it.

        Raises:
            ValueError: A name has more than 255 bytes.
        """
        payload = self._header()
        start = _publish(channel, self.exchange, self.key, mandatory) + PREFIX.pack(HEADER, channel, len(payload))
        size, room = len(self.body), frame_max - PREFIX.size - len(END)
        if 0 < size <= room:
            return b"".join((start, payload, END, PREFIX.pack(BODY, channel, size), self.body, END))
        pieces = [start, payload, END]
        for at in range(0, size, room):
            piece = self.body[at : at + room]
            pieces += (PREFIX.pack(BODY, channel, len(piece)), piece, END)
        return b"".join(pieces)

    def _header(self) -> bytes:
        flags, fields = 0, list[bytes]()
        if self.content_type:
            flags |= CONTENT_TYPE
            fields.append(_name(self.content_type))
        if self.headers:
            flags |= HEADERS
            fields.append(_table(self.headers))
        if self.is_persistent:
            flags |= DELIVERY_MODE
            fields.append(bytes((PERSISTENT,)))
        for flag, text in ((CORRELATION_ID, self.correlation_id), (MESSAGE_ID, self.message_id)):
            if text:
                flags |= flag
                fields.append(_short(text))
        if self.type:
            flags |= TYPE
            fields.append(_name(self.type))
        return _HEADER.pack(BASIC, 0, len(self.body), flags) + b"".join(fields)


@lru_cache(maxsize=256)
def _publish(channel: int, exchange: str, key: str, mandatory: bool) -> bytes:
    names = _short(exchange) + _short(key)
    payload = _PUBLISH.pack(BASIC, PUBLISH, 0) + names + bytes((mandatory,))
    return PREFIX.pack(METHOD, channel, len(payload)) + payload + END


def _short(text: str) -> bytes:
    spelled = text.encode()
    return bytes((len(spelled),)) + spelled


_name = lru_cache(maxsize=256)(_short)  # of what there are few


def _table(headers: Mapping[str, str]) -> bytes:
    fields = list[bytes]()
    for name, text in sorted(headers.items()):
        spelled = text.encode()
        fields += (_name(name), b"S", _LONG.pack(len(spelled)), spelled)
    table = b"".join(fields)
    return _LONG.pack(len(table)) + table
