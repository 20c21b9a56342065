"""Buckets that fill as somebody does something, and empty with time; each replica has its own."""

import math
import time

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from shared.errors import TooMany


class Buckets:
    def __init__(self) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, rate: RateLimitItem, whose: str, what: str) -> None:
        """Count one more.

        Args:
            rate: How many there may be, and in which time.
            whose: The bucket's name.
            what: They are, for people.

        Raises:
            TooMany: It is one too many; `retry_after_s` says when to try again.
        """
        if not await self._limiter.hit(rate, whose):
            raise await self._refusal(rate, whose, what)

    async def require(self, rate: RateLimitItem, whose: str, what: str, room: int = 1) -> None:
        """Refuse like `take` where there is no room for so many more, and count none."""
        if not await self._limiter.test(rate, whose, cost=room):
            raise await self._refusal(rate, whose, what)

    async def count(self, rate: RateLimitItem, whose: str) -> None:
        """Count one more where there is room; a full bucket stays full."""
        await self._limiter.hit(rate, whose)

    async def _refusal(self, rate: RateLimitItem, whose: str, what: str) -> TooMany:
        window = await self._limiter.get_window_stats(rate, whose)
        wait = max(1, math.ceil(window.reset_time - time.time()))
        return TooMany(f"at most {rate.amount} {what} a {rate.GRANULARITY.name}", retry_after_s=wait)
