"""Read your own writes: wait for the row that follows from an event, on the consumers' hints and without them."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import structlog

from shared.database import is_away
from shared.events import Outcome

# A hint may get lost, so the row is looked for at these times too.
LOOK_AT_S = (0.05, 0.2, 1.0)
LAST_LOOK_S = 0.5  # what the last look may take beyond the time to wait

Row = TypeVar("Row")
Look = Callable[[], Awaitable[Row | None]]

log = structlog.get_logger(__name__)


class Receipt:
    """The expectation that something will be committed."""

    def __init__(self) -> None:
        self._hinted = asyncio.Event()

    def hint(self) -> None:
        self._hinted.set()

    async def until(self, look: Look[Row], timeout_s: float) -> Row | None:
        """Return what `look` finds; None where it finds nothing in time, or may not wait at all.

        What it waits for was accepted already, so a database that is away is no reason to refuse: nothing is found.
        """
        if timeout_s <= 0:
            return None
        try:
            async with asyncio.timeout(timeout_s + LAST_LOOK_S):
                return await self._until(look, timeout_s)
        except Exception as error:
            if not is_away(error):
                raise
            log.debug("not seen in time", error=str(error) or type(error).__name__)
            return None

    async def _until(self, look: Look[Row], timeout_s: float) -> Row | None:
        began = asyncio.get_running_loop().time()
        for look_at in (*(at for at in LOOK_AT_S if at < timeout_s), timeout_s):
            row = await self._hints_until(began + look_at, look)
            if row is None:
                row = await look()
            if row is not None:
                return row
        return None

    async def _hints_until(self, deadline: float, look: Look[Row]) -> Row | None:
        """Look at every hint until the deadline."""
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._hinted.wait()
            except TimeoutError:
                return None
            self._hinted.clear()
            row = await look()
            if row is not None:
                return row


class Receipts:
    """Everything that requests of this gateway wait for."""

    only = None  # any outcome may be waited for

    def __init__(self) -> None:
        self._waiting: defaultdict[Hashable, set[Receipt]] = defaultdict(set)

    @property
    def are_awaited(self) -> bool:
        """Whether anybody waits for anything."""
        return bool(self._waiting)

    @contextmanager
    def expecting(self, *awaited: UUID | tuple[str, str]) -> Iterator[Receipt]:
        """Wait for what follows from these events; enter before they are published, so that no hint is missed.

        Args:
            awaited: Events by their ids; and, by owner and id, sessions in which anything that happens may be it.
        """
        with self._waiting_for(*awaited) as receipt:
            yield receipt

    @contextmanager
    def watching(self, user_ids: tuple[str, ...], session_id: str) -> Iterator[Receipt]:
        """Wait for anything that happens to this session of one of these users."""
        with self._waiting_for(*((user_id, session_id) for user_id in user_ids)) as receipt:
            yield receipt

    def hint(self, outcome: Outcome) -> None:
        """Let those look who wait for this outcome."""
        for awaited in (*outcome.causes, (outcome.user_id, outcome.session_id)):
            for receipt in self._waiting.get(awaited, ()):
                receipt.hint()

    def missed(self) -> None:
        """Let everybody look: what they wait for may have been told to nobody."""
        for receipts in self._waiting.values():
            for receipt in receipts:
                receipt.hint()

    @contextmanager
    def _waiting_for(self, *keys: Hashable) -> Iterator[Receipt]:
        receipt = Receipt()
        for key in keys:
            self._waiting[key].add(receipt)
        try:
            yield receipt
        finally:
            for key in keys:
                self._waiting[key].discard(receipt)
                if not self._waiting[key]:
                    del self._waiting[key]
