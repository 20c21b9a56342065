"""How many readings of one user go on at once: whoever asks for more waits for its own, and for nobody else's.

Else one caller's readings fill the database's connections, and everybody's next turn stands behind them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.gateway.account.identity import Caller
from shared.errors import TooMany

LANES = 2  # readings of one user at once
PATIENCE_S = 4.0


class Lanes:
    def __init__(self, each: int = LANES) -> None:
        self._each = each
        self._lanes: dict[str, tuple[asyncio.Semaphore, set[object]]] = {}  # with whoever goes there or waits

    @asynccontextmanager
    async def of(self, caller: Caller) -> AsyncIterator[None]:
        """Have one of the caller's lanes in the block; programs and administrators have as many as they like.

        Raises:
            TooMany: None became free for a while.
        """
        if caller.rights.reads_abreast:
            yield
            return
        user_id = caller.user_id
        lane, those = self._lanes.setdefault(user_id, (asyncio.Semaphore(self._each), set()))
        me = object()
        those.add(me)
        try:
            await _entered(lane)
            try:
                yield
            finally:
                lane.release()
        finally:
            those.discard(me)
            if not those:
                del self._lanes[user_id]


async def _entered(lane: asyncio.Semaphore) -> None:
    if not lane.locked():
        await lane.acquire()
        return
    try:
        async with asyncio.timeout(PATIENCE_S):
            await lane.acquire()
    except TimeoutError:
        raise TooMany("too much of yours is being read at once", limit="readings_at_once", retry_after_s=1) from None
