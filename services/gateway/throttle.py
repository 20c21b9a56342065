"""Limit the bursts of one user on this replica; quotas over days are another matter."""

import math
import time

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

    async def admit(self, user_id: str, running: int) -> None:
        """Count one more turn of this user, who has `running` of them now.

        Raises:
            TooMany: It is one too many; `retry_after_s` says when to try again.
        """
        if running >= self._at_once:
            raise TooMany(f"at most {self._at_once} turns may run at once", retry_after_s=1)
        if not await self._limiter.hit(self._rate, user_id):
            window = await self._limiter.get_window_stats(self._rate, user_id)
            wait = max(1, math.ceil(window.reset_time - time.time()))
            raise TooMany(f"at most {self._rate.amount} turns a minute", retry_after_s=wait)
