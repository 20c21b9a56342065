"""Read a dense answer frame by frame: what comes within one frame of a screen is read, kept and sent on together.

Each piece by itself wakes the gateway and the caller, and nobody sees such pieces come apart. The first piece waits for
none, and where pieces come no closer than frames do, none waits.
"""

import asyncio

import aiohttp

FRAME_S = 1 / 60


class Frames:
    """The frames of one answer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_at = 0.0  # by the loop's clock
        self._is_dense = True  # until it shows

    def came(self, pieces: int) -> None:
        """Note that so many pieces were read at once."""
        now = self._loop.time()
        self._is_dense = not self._read_at or pieces > 1 or now - self._read_at < FRAME_S
        self._read_at = now

    async def next(self, response: aiohttp.ClientResponse) -> None:
        """Wait for the end of the frame, where more is to come before it; until then it waits unread in the kernel.

        Nothing is read meanwhile, and so nothing lost where the connection breaks.
        """
        connection = response.connection if self._is_dense and self._read_at else None  # none: all of it was read
        transport = connection.transport if connection is not None else None
        if transport is None or transport.is_closing():
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(self._read_at + FRAME_S - self._loop.time())
        finally:
            if not transport.is_closing():
                transport.resume_reading()
