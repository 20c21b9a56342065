"""How much of what is large this process holds at once: whoever wants more waits until others are done."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from shared.errors import Overloaded

SMALL = 64 * 1024  # bytes that any request may hold, and needs no room for
PATIENCE_S = 4.0


class Room:
    """Room for so many bytes, given in the order in which it was asked for."""

    def __init__(self, most_bytes: int) -> None:
        self._most = self._free = most_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def for_bytes(self, size: int) -> AsyncIterator[None]:
        """Have room for `size` bytes in the block; what is larger than all of it has it alone.

        Raises:
            Overloaded: There was none for a while.
        """
        if size <= SMALL:
            yield
            return
        taken = min(size, self._most)
        await self._take(taken)
        try:
            yield
        finally:
            self._free += taken
            self._let_in()

    async def _take(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        place = (size, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await place[1]
        except BaseException as error:
            if place[1].done() and not place[1].cancelled():  # it was given at the last moment
                self._free += size
            else:
                with suppress(ValueError):  # or passed over already
                    self._waiting.remove(place)
            self._let_in()
            if isinstance(error, TimeoutError):
                raise Overloaded from error
            raise

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, place = self._waiting.popleft()
            if not place.done():
                self._free -= size
                place.set_result(None)
