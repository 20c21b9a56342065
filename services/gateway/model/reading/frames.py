"""Read a dense answer frame by frame: what comes within one frame of a screen is read, kept and sent on together.

Each piece by itself wakes the gateway and the caller, and nobody sees such pieces come apart. The first piece waits for
none, and where pieces come no closer than frames do, none waits.
"""

import asyncio
from typing import Protocol

FRAME_S = 1 / 60


class Held(Protocol):
    """An answer on its connection."""

    def hold(self) -> bool:
        """Leave what comes in the kernel; false where all of it is here."""
        ...

    def go_on(self) -> None:
        """Read again."""


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

    async def next(self, answer: Held) -> None:
        """Wait for the end of the frame, where more is to come before it; until then it waits unread in the kernel.

        Nothing is read meanwhile, and so nothing lost where the connection breaks.
        """
        if not (self._is_dense and self._read_at and answer.hold()):
            return
        try:
            await asyncio.sleep(self._read_at + FRAME_S - self._loop.time())
        finally:
            answer.go_on()
