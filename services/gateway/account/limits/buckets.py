"""Buckets that fill as somebody does something, and empty with time; each replica has its own.

What counts is what came in this window, and of the one before as much as the sliding window still covers, as if it had
come evenly: https://blog.cloudflare.com/counting-things-a-lot-of-different-things/ The first window begins with the
replica: so nobody else's clock says when one ends, and no step of this machine's changes how much there may be.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from services.gateway.http.edge.rate_limit import as_headers
from shared.errors import TooMany

PER = {"minute": 60, "hour": 3600}  # seconds


@dataclass(frozen=True)
class Rate:
    """So many of something in a time."""

    amount: int
    kind: str  # of the limit, for programs, metrics and headers
    what: str  # they are, for people
    per: Literal["minute", "hour"] = "minute"

    @property
    def window_s(self) -> int:
        return PER[self.per]


@dataclass(frozen=True)
class Left:
    """How much of a rate is left."""

    rate: Rate
    remaining: int
    resets_s: int  # until there is more

    @property
    def headers(self) -> dict[str, str]:
        """Say so as the draft of the RateLimit headers has it."""
        rate = self.rate
        return as_headers(rate.kind, rate.amount, rate.window_s, (self.remaining, self.resets_s))


class _Windows:
    """How many there were of one rate in this window and the last, by bucket: what is older goes all at once."""

    __slots__ = ("before", "now", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.now: dict[str, int] = {}
        self.before: dict[str, int] = {}

    def move_to(self, number: int) -> None:
        if number != self.number:
            self.before = self.now if number == self.number + 1 else {}
            self.now, self.number = {}, number


class Buckets:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._windows: dict[Rate, _Windows] = {}

    async def take(self, rate: Rate, whose: str) -> Left:
        """Count one more of this bucket.

        Raises:
            TooMany: It is one too many; `retry_after_s` says when to try again.
        """
        left = self._left(rate, whose)
        if left.remaining < 1:
            raise self._refusal(rate, whose)
        windows = self._windows[rate]
        windows.now[whose] = windows.now.get(whose, 0) + 1
        return Left(rate, left.remaining - 1, left.resets_s)

    async def require(self, rate: Rate, whose: str, room: int = 1) -> None:
        """Refuse like `take` where there is no room for so many more, and count none."""
        if self._left(rate, whose).remaining < room:
            raise self._refusal(rate, whose, room)

    async def count(self, rate: Rate, whose: str) -> None:
        """Count one more where there is room; a full bucket stays full."""
        if self._left(rate, whose).remaining >= 1:
            now = self._windows[rate].now
            now[whose] = now.get(whose, 0) + 1

    def _left(self, rate: Rate, whose: str) -> Left:
        number, passed = divmod(self._now() - self._began, rate.window_s)
        windows = self._windows.get(rate)
        if windows is None:
            windows = self._windows[rate] = _Windows(int(number))
        windows.move_to(int(number))
        weight = 1 - passed / rate.window_s
        used = windows.now.get(whose, 0) + math.floor(windows.before.get(whose, 0) * weight)
        return Left(rate, max(0, rate.amount - used), max(1, math.ceil(rate.window_s - passed)))

    def _refusal(self, rate: Rate, whose: str, room: int = 1) -> TooMany:
        wait_s = max(1, math.ceil(self._wait_s(rate, whose, room)))
        return TooMany(
            f"at most {rate.amount} {rate.what} a {rate.per}: try again in {wait_s} s",
            limit=rate.kind,
            retry_after_s=wait_s,
            headers=Left(rate, 0, wait_s).headers,
        )

    def _wait_s(self, rate: Rate, whose: str, room: int) -> float:
        """Return how long it is until there is room for so many, where nothing else comes."""
        windows, window_s = self._windows[rate], rate.window_s
        passed = (self._now() - self._began) % window_s
        most = rate.amount - room  # that may have been counted by then
        now, before = windows.now.get(whose, 0), windows.before.get(whose, 0)
        if most < 0:  # never, of itself: what wants so much room may want less by then
            return window_s - passed
        if now <= most:  # as the last window leaves the sliding one
            return window_s * (1 - (most - now + 1) / before) - passed if before > most - now else 0.0
        return window_s - passed + window_s * max(0.0, 1 - (most + 1) / now)
