"""Take the deliveries of one channel off its wire, each in one piece."""

import struct
from collections.abc import Callable

from shared.broker.wire import BASIC, HEADER, METHOD

_DELIVER = struct.pack(">HH", BASIC, 60)
_BODY_SIZE = struct.Struct(">HHQ")  # class and weight before it, the properties after it


class Deliveries:
    """Puts bodies together; nothing else is read, so nothing can be unreadable."""

    def __init__(
        self,
        hear: Callable[[bytes, bytes, bytes], None],
        *,
        is_wanted: Callable[[], bool] = lambda: True,
        largest: int | None = None,
    ) -> None:
        """Take deliveries.

        Args:
            hear: Is given the method, the header and the body of each.
            is_wanted: Asked at the beginning of each; what is not wanted is dropped.
            largest: Bytes of a body; what is larger is dropped, too.
        """
        self._hear = hear
        self._is_wanted = is_wanted
        self._largest = largest
        self._method = self._header = b""  # of the delivery that comes now
        self._body: bytearray | None = None  # what has come of it, where it is wanted
        self._size = 0

    def take(self, kind: int, payload: bytes) -> bool:
        """Take what belongs to a delivery, and nothing else."""
        if kind == METHOD:
            is_delivery = payload.startswith(_DELIVER)
            if is_delivery:
                self._method = payload
                self._body = bytearray() if self._is_wanted() else None
            return is_delivery
        if self._body is not None:
            self._add(self._body, kind, payload)
        return True

    def _add(self, body: bytearray, kind: int, payload: bytes) -> None:
        if kind == HEADER:
            self._header, self._size = payload, _BODY_SIZE.unpack_from(payload)[2]
        else:
            body += payload
        is_too_large = self._largest is not None and self._size > self._largest
        if len(body) >= self._size or is_too_large:
            self._body = None
            if not is_too_large:
                self._hear(self._method, self._header, bytes(body))
