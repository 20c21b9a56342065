"""Gauges of what only the servers know: counted every `EVERY_S`, unknown (NaN) while a server does not answer."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.backoff import pause

EVERY_S = 15.0

Count = Callable[[], Awaitable[None]]  # counts one thing and sets its gauges; it raises nothing


class Census:
    """Counts, as a worker of its process."""

    def __init__(self, *counts: Count, every_s: float = EVERY_S) -> None:
        self._counts = counts
        self._every_s = every_s
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        while not self._stopping.is_set():
            for count in self._counts:
                await count()
            await pause(self._every_s, self._stopping)

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        return None

    def __str__(self) -> str:
        return "census"
