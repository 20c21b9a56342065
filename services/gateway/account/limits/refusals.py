"""Refusals for the sake of a limit, noted of users a little later and all at once: none is a write of its own."""

from collections import Counter
from collections.abc import Mapping

from services.gateway.account.limits.throttle import USERS

MOST_USERS = 10_000  # of whom it is remembered until it is noted


class Refusals:
    """How many requests of each user were refused since that was noted last; of visitors the metric knows alone."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def note(self, account: str) -> None:
        """Remember one."""
        if not account.startswith(USERS):
            return
        user_id = account.removeprefix(USERS)
        if user_id in self._counts or len(self._counts) < MOST_USERS:
            self._counts[user_id] += 1

    def take(self) -> Mapping[str, int]:
        """Return what is to be noted, and remember it no more."""
        counts, self._counts = self._counts, Counter()
        return counts

    def give_back(self, counts: Mapping[str, int]) -> None:
        """Remember what could not be noted."""
        self._counts.update(counts)
