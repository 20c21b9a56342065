"""How many turns begin or run on this gateway, and for whom."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class TurnCounts:
    """Counts by whoever a turn is for in the limits' sense, which is its caller and not the owner of its session."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.total = 0

    def of(self, account: str) -> int:
        return self._counts[account]

    def of_those(self, prefix: str) -> int:
        """Count the turns of every account that begins with this."""
        return sum(count for account, count in self._counts.items() if account.startswith(prefix))

    @contextmanager
    def counting(self, account: str) -> Iterator[None]:
        """Count one more in the block."""
        self.began(account)
        try:
            yield
        finally:
            self.ended(account)

    def began(self, account: str) -> None:
        self._counts[account] += 1
        self.total += 1

    def ended(self, account: str) -> None:
        self.total -= 1
        self._counts[account] -= 1
        if not self._counts[account]:
            del self._counts[account]
