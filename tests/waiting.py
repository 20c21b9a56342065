"""Wait for what a system does by itself, never for a length of time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# So long is waited for what must come: a bound for what never does, on a machine that does much besides.
PATIENCE_S = 60.0


async def until(look: Callable[[], Awaitable[T | None]], what: str, patience_s: float = PATIENCE_S) -> T:
    """Look until there is something, and return it; fail where it does not come in time."""
    try:
        async with asyncio.timeout(patience_s):
            while not (seen := await look()):
                await asyncio.sleep(0.05)
            return seen
    except TimeoutError:
        raise AssertionError(f"waited {patience_s} s for {what}") from None


async def until_true(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait until something of this process is so."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
