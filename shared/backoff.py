"""How long to wait before another try: twice as long after each one in vain, up to a longest."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Backoff:
    """Waits in seconds."""

    first_s: float
    longest_s: float

    def wait_s(self, attempts: int) -> float:
        """Return the wait after so many attempts in vain."""
        return float(min(self.longest_s, self.first_s * 2 ** min(max(attempts - 1, 0), 30)))


class Delays:
    """The waits of one loop, with jitter so that replicas do not come in step."""

    def __init__(self, first_s: float = 0.1, longest_s: float = 3.0) -> None:
        self._backoff = Backoff(first_s, longest_s)
        self.reset()

    def reset(self) -> None:
        """Begin anew: an attempt has succeeded."""
        self._attempts = 0

    def next(self) -> float:
        """Return the wait after one more attempt in vain."""
        self._attempts += 1
        return self._backoff.wait_s(self._attempts) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


async def patiently(
    attempt: Callable[[], Awaitable[Result]], is_passing: Callable[[Exception], bool], patience_s: float
) -> Result:
    """Return what an attempt returns, which is made again for so long after its first failure.

    Args:
        attempt: What is made.
        is_passing: Tells of an error whether another attempt may meet none.
        patience_s: In seconds; with 0 there is one attempt.
    """
    clock, delays, until_s = asyncio.get_running_loop().time, Delays(), 0.0
    while True:
        try:
            return await attempt()
        except Exception as error:
            until_s = until_s or clock() + patience_s
            if clock() >= until_s or not is_passing(error):
                raise
        await asyncio.sleep(min(delays.next(), max(0.0, until_s - clock())))


async def pause(delay_s: float, stopping: asyncio.Event) -> None:
    """Sleep, but not for longer than there is anything to wait for."""
    with suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await stopping.wait()
