"""Bursts of notices: those that wait for the same call are kept before it is made."""

import time
from collections.abc import Callable

LONGEST_S = 60.0  # 10,000 notices are kept in half of that


class Burst:
    """Says whether following waits, since a call made now would be made again for what is still to be kept."""

    def __init__(self, waiting: Callable[[], int], now: Callable[[], float] = time.monotonic) -> None:
        """Begin between bursts.

        Args:
            waiting: How many notices have arrived and are not kept.
            now: A monotonic clock, in seconds.
        """
        self._waiting = waiting
        self._now = now
        self._since: float | None = None

    def holds(self) -> bool:
        """Tell whether to wait; not for ever, should notices come as fast as they are kept."""
        if not self._waiting():
            self._since = None
            return False
        self._since = self._now() if self._since is None else self._since
        return self._now() - self._since < LONGEST_S
