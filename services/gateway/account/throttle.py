"""Limit the bursts of one user on this replica; quotas over days are another matter."""

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from shared.errors import TooMany
from shared.settings import Settings


class Throttle:
    """How many turns one user may begin a minute, and have running at once."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(settings.turns_per_minute)
        self._at_once = settings.turns_at_once
        self._beginning: Counter[str] = Counter()

    @asynccontextmanager
    async def admitted(self, user_id: str, running: Callable[[str], int]) -> AsyncIterator[None]:
        """Begin one more turn of this user in the block; at its end the turn runs, or there is none.

        Args:
            user_id: Whose turn it is.
            running: How many of a user's turns run by now. Those that are just beginning are counted here, or all of
                a burst would find none running.

        Raises:
            TooMany: It is one too many; `retry_after_s` says when to try again.
        """
        if running(user_id) + self._beginning[user_id] >= self._at_once:
            raise TooMany(f"at most {self._at_once} turns may run at once", retry_after_s=1)
        self._beginning[user_id] += 1
        try:
            await self._count(user_id)
            yield
        finally:
            self._beginning[user_id] -= 1
            if not self._beginning[user_id]:
                del self._beginning[user_id]

    async def _count(self, user_id: str) -> None:
        """Count one more turn of this minute."""
        if not await self._limiter.hit(self._rate, user_id):
            window = await self._limiter.get_window_stats(self._rate, user_id)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            raise TooMany(f"at most {self._rate.amount} turns a minute", retry_after_s=wait)
