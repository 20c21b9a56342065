"""What an exchange writes to: all that is written in one turn of the event loop goes out at once.

A head, the first of its body and the end of a short one are then one system call and one packet, and wake the caller
once. What is more than that goes on at once: only the transport knows when its caller takes no more, and an exchange
waits for that.
"""

import asyncio
from collections.abc import Callable

MOST_HELD = 64 * 1024  # bytes, as many as the transport takes before it has whoever writes wait


class Outlet:
    """One connection's transport, as its exchanges see it; the connection itself decides how it is closed."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.is_closing = transport.is_closing
        self.close = close
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self.held_bytes = 0

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self.held_bytes += len(data)
        if self.held_bytes > MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held; whoever closes the connection, or writes to it past this, does so first."""
        if self._held:
            data, self._held, self.held_bytes = b"".join(self._held), [], 0
            if not self._transport.is_closing():
                self._transport.write(data)
