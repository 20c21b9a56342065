"""Take the deliveries of one channel off its wire, without a look at those that nobody wants."""

import struct
from collections.abc import Callable

from shared.events import LARGEST_BODY
from shared.wire import BASIC, HEADER, METHOD

_DELIVER = struct.pack(">HH", BASIC, 60)
_BODY_SIZE = struct.Struct(">HHQ")  # class and weight before it, the properties after it


class Deliveries:
    """Puts bodies together; properties are not read, so none can be unreadable."""

    def __init__(self, is_wanted: Callable[[], bool], hear: Callable[[bytes], None]) -> None:
        """Take deliveries.

        Args:
            is_wanted: Asked at the beginning of each; what is not wanted is dropped.
            hear: Is given the body of what is.
        """
        self._is_wanted = is_wanted
        self._hear = hear
        self._body: bytearray | None = None  # of the delivery that comes now, where it is wanted
        self._size = 0

    def take(self, kind: int, payload: bytes) -> bool:
        """Take what belongs to a delivery, and nothing else."""
        if kind == METHOD:
            is_delivery = payload.startswith(_DELIVER)
            if is_delivery:
                self._body = bytearray() if self._is_wanted() else None
            return is_delivery
        if self._body is not None:
            self._add(self._body, kind, payload)
        return True

    def _add(self, body: bytearray, kind: int, payload: bytes) -> None:
        if kind == HEADER:
            self._size = _BODY_SIZE.unpack_from(payload)[2]
        else:
            body += payload
        if len(body) >= self._size or self._size > LARGEST_BODY:
            self._body = None
            if self._size <= LARGEST_BODY:
                self._hear(bytes(body))
