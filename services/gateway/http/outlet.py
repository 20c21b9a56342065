"""What an exchange writes to: all that is written in one turn of the event loop goes out at once.

A head, the first of its body and the end of a short one are then one system call and one packet, and wake the caller
once.
"""

import asyncio
from collections.abc import Callable


class Outlet:
    """One connection's transport, as its exchanges see it; the connection itself decides how it is closed."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.is_closing = transport.is_closing
        self.close = close
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._held))

    def flush(self) -> None:
        """Write what is held; whoever closes the connection, or writes to it past this, does so first."""
        if self._held:
            data, self._held = b"".join(self._held), []
            if not self._transport.is_closing():
                self._transport.write(data)
