"""How much of what is large each account holds here, and all together: whoever wants more is refused at once."""

from collections import Counter
from types import TracebackType
from typing import Self

from shared.errors import Overloaded, TooMany

ACCOUNTS = 4  # that fill the room together: one alone has this part of it at most


class Shares:
    """Room for so many bytes, which things of many accounts take."""

    def __init__(self, most_bytes: int, *, one_bytes: int, free_bytes: int) -> None:
        """Make room.

        Args:
            most_bytes: For all things together.
            one_bytes: Of the largest thing that there may be; an account has room for one, at least.
            free_bytes: Of each thing, which count for nothing: so what is small is never refused.
        """
        self._share = max(most_bytes // ACCOUNTS, one_bytes)
        self._most = max(most_bytes, self._share)
        self.free_bytes = free_bytes
        self._held: Counter[str] = Counter()
        self.total = 0

    def hold(self, account: str) -> "Holding":
        """Begin to hold something for this account."""
        return Holding(self, account)

    def held(self, account: str, size: int) -> "Holding":
        """Hold so many bytes from now on to the end of the block.

        Raises:
            TooMany, Overloaded: There is no room for them.
        """
        holding = self.hold(account)
        holding.take(size)
        return holding

    def require(self, account: str, size: int) -> None:
        """Refuse where there is no room for so much more.

        Raises:
            TooMany: This account has its share.
            Overloaded: All of the room is taken.
        """
        if size <= 0:
            return
        if self._held[account] + size > self._share:
            raise TooMany("too much of yours is being worked at once", limit="bytes_at_once", retry_after_s=1)
        if self.total + size > self._most:
            raise Overloaded

    def count(self, account: str, size: int) -> None:
        """Count so much more, or less, whether there is room or not."""
        self.total += size
        self._held[account] += size
        if not self._held[account]:
            del self._held[account]

    def is_full_for(self, account: str) -> bool:
        """Tell whether so much is held, by this account or altogether, that what is held already may grow no more.

        That is a share further than what may come in: else what grows would end for what has just come.
        """
        return self.total > self._most + self._share or self._held[account] > 2 * self._share


class Holding:
    """What one thing takes, from nothing on until it is let go of."""

    __slots__ = ("_account", "_counted", "_shares", "_size")

    def __init__(self, shares: Shares, account: str) -> None:
        self._shares = shares
        self._account = account
        self._size = self._counted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.let_go()

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            TooMany, Overloaded: There is no room for them; what was held before is held still.
        """
        self._shares.require(self._account, self._size + size - self._shares.free_bytes - self._counted)
        self.add(size)

    def add(self, size: int) -> None:
        """Hold so many bytes more, or less, whether there is room or not."""
        self._size += size
        counted = max(self._size - self._shares.free_bytes, 0)
        if counted != self._counted:
            self._shares.count(self._account, counted - self._counted)
            self._counted = counted

    @property
    def is_too_much(self) -> bool:
        """Whether this counts, and there is no room for it."""
        return bool(self._counted) and self._shares.is_full_for(self._account)

    def let_go(self) -> None:
        """Hold nothing any more."""
        self.add(-self._size)
