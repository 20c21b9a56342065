"""What has come on all connections and waits there: heads, requests behind one that is being answered, unread bodies.

Room for it is none of an account's, since nobody knows yet whose it is. Where it is full, whoever has held some for
longest gives way: a request comes at once, or slowly because somebody makes it so.
"""

from collections.abc import Iterable
from typing import Protocol

FREE = 8 * 1024  # bytes that any connection may hold: the head of a browser, with its token and cookies
HEADER_BYTES = 150  # that a header takes beside its own (measured: 147)
REQUEST_BYTES = 4096  # that a request takes which waits, beside its head and body
MOST_LOOKS = 64  # at connections that may have to give way, for each that wants room


class Holder(Protocol):
    """A connection, as far as this module knows it."""

    def give_way(self) -> bool:
        """Hold less at once, and count it; false where all that is held is a request that is being answered."""


class Arrivals:
    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held: dict[Holder, int] = {}  # beyond what is free; whoever began to hold first is first
        self.total = 0

    def count(self, holder: Holder, size: int) -> None:
        """Note how much a connection holds now; where that is too much for the room, others give way or it does."""
        if size <= FREE and holder not in self._held:
            return
        counted = max(size - FREE, 0)
        more = counted - self._held.get(holder, 0)
        self.total += more
        if counted:
            self._held[holder] = counted
        else:
            self._held.pop(holder, None)
        if more > 0 and self.total > self._most:
            self._make_room(0)

    def has_room(self, size: int, newcomer: Holder) -> bool:
        """Tell whether a connection may hold so much, after others have given way that can."""
        more = size - FREE - self._held.get(newcomer, 0)
        return more <= 0 or self._make_room(more, newcomer)

    def forget(self, holder: Holder) -> None:
        self.total -= self._held.pop(holder, 0)

    def _make_room(self, size: int, newcomer: Holder | None = None) -> bool:
        looks = min(MOST_LOOKS, len(self._held))
        while self.total + size > self._most and looks:
            holder = next(iter(self._held))
            if holder is newcomer or not holder.give_way():
                self._held[holder] = self._held.pop(holder)  # the next look is at another
                looks -= 1
        return self.total + size <= self._most


def weight_of(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return how many bytes a head takes, about."""
    return len(url) + sum([len(name) + len(value) + HEADER_BYTES for name, value in headers])
