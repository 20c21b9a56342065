"""Finding what is guilty in a group that fails as a whole."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Guilty(Exception):
    """At least one item of the group is to blame for this error."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


async def bisect(
    items: Sequence[T],
    commit: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
    set_aside: Callable[[T, BaseException], Awaitable[None]],
) -> list[R]:
    """Commit all items but the guilty ones, in order, in as few and as large parts as halving finds.

    Args:
        items: What to commit; not empty.
        commit: Does all of what it is given, or nothing and raises Guilty.
        set_aside: Is given each item that is guilty on its own, with its error.

    Returns:
        What the commits returned, in order.
    """
    try:
        return list(await commit(items))
    except Guilty as guilt:
        if len(items) == 1:
            await set_aside(items[0], guilt.error)
            return []
    middle = len(items) // 2
    first = await bisect(items[:middle], commit, set_aside)
    return first + await bisect(items[middle:], commit, set_aside)
