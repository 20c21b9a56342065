"""The token bucket that every call to Avinode takes from: so many at once, so many a second in the long run."""

import asyncio
from collections.abc import Callable
from time import monotonic

from shared.errors import ShuttingDown


class TokenBucket:
    """Hand out tokens in the order they are asked for, to urgent calls first."""

    def __init__(self, per_s: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at = clock()
        self._held_until = self._filled_at
        self._turns = {False: asyncio.Lock(), True: asyncio.Lock()}  # by urgency
        self._urgent = 0  # that wait
        self._closed = asyncio.Event()

    async def take(self, *, is_urgent: bool = False) -> None:
        """Wait for a token; no other gets one while an urgent call waits.

        Raises:
            ShuttingDown: The bucket was closed.
        """
        self._urgent += is_urgent
        try:
            async with self._turns[is_urgent]:
                while not self._closed.is_set() and (wait_s := self._wait_s(is_urgent=is_urgent)) > 0:
                    try:
                        await asyncio.wait_for(self._closed.wait(), wait_s)
                    except TimeoutError:
                        continue  # it may have been held meanwhile
                if self._closed.is_set():
                    raise ShuttingDown
                self._tokens -= 1
        finally:
            self._urgent -= is_urgent

    def hold(self, wait_s: float) -> None:
        """Hand out none for that long: Avinode asked for it, or is away."""
        self._held_until = max(self._held_until, self._clock() + wait_s)

    @property
    def held_s(self) -> float:
        """Say for how long there is none to be had, however many are left."""
        return max(self._held_until - self._clock(), 0.0)

    def close(self) -> None:
        """Hand out none any more."""
        self._closed.set()

    def _wait_s(self, *, is_urgent: bool) -> float:
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        wait_s = max(self._held_until - now, (1 - self._tokens) / self._per_s)
        return max(wait_s, 1 / self._per_s) if self._urgent and not is_urgent else wait_s
