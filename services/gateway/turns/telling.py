"""Tell of turns: publish both events of each, however long the broker takes, and note in the rows what it has."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import structlog

from services.gateway.turns.said import Glimpse
from services.gateway.turns.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.connection import describe
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway
from shared.publisher import Publisher

PUBLISH_DEADLINE_S = 60.0
READ_AT_ONCE = 2  # turns of somebody who did not tell of them

Known = tuple[UUID, int, str]  # turn, attempt and state, which tells an answer from one that replaces it

log = structlog.get_logger(__name__)


class Telling:
    """The answers that this gateway publishes, and those that are published and not marked so yet."""

    def __init__(
        self,
        store: TurnStore,
        publisher: Publisher,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        is_closing: Callable[[], bool],
    ) -> None:
        """Prepare to tell.

        Args:
            store: Has the rows.
            publisher: Has the broker.
            spawn: Runs what must not end with the request that began it.
            is_closing: Whether to give up where the broker is away; the rows hold what was not told.
        """
        self._store = store
        self._publisher = publisher
        self._spawn = spawn
        self._is_closing = is_closing
        self._published: list[Known] = []
        self._telling: set[Known] = set()
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    def tell(self, turn: Turn) -> None:
        """Publish all that a turn said, in the stead of its owner; nothing where that is under way here."""
        if (turn.turn_id, turn.attempt, turn.state) not in self._telling:
            self.begin(turn, questions_too=True)

    async def tell_now(self, turn: Turn) -> bool:
        """Publish all that a turn said, once; False where that is under way here, or done and not marked yet.

        Raises:
            BrokerAway: Not all of it could be.
        """
        known = (turn.turn_id, turn.attempt, turn.state)
        if known in self._telling:
            return False
        self._telling.add(known)
        try:
            await self.ask(turn)
            await self._publisher.publish(turn.answered())
        except BaseException:
            self._telling.discard(known)
            raise
        self._published.append(known)
        return True

    def tell_untold(self, turn: Glimpse) -> None:
        """Do what `tell` does for a turn whose texts are not at hand; few are read at once, since they may be large."""
        known = (turn.turn_id, turn.attempt, turn.state)
        if known not in self._telling:
            self._telling.add(known)
            self._spawn(self._tell_read(known))

    async def _tell_read(self, known: Known) -> None:
        turn_id, attempt, state = known
        async with self._reading:
            try:
                turn = await self._store.find(turn_id)
            except DATABASE_ERRORS as error:
                log.warning("turn not told", turn_id=str(turn_id), error=describe(error))
                turn = None
            if turn is None or (turn.attempt, turn.state) != (attempt, state):
                self._telling.discard(known)  # it has gone on, or whoever reads the session next tells of it
            else:
                await self._tell(turn, questions_too=True)

    def begin(self, turn: Turn, *, questions_too: bool = False) -> asyncio.Task[None]:
        """Begin to publish the answer of a turn."""
        self._telling.add((turn.turn_id, turn.attempt, turn.state))
        return self._spawn(self._tell(turn, questions_too=questions_too))

    async def ask(self, turn: Turn, deadline_s: float | None = None) -> None:
        """Publish what the user said.

        Raises:
            BrokerAway: Not all of it could be.
        """
        for asked in (*turn.earlier(), turn):
            await self._publisher.publish(asked.posted(), deadline_s=deadline_s)

    async def _tell(self, turn: Turn, *, questions_too: bool) -> None:
        try:
            await self._tell_patiently(turn, questions_too=questions_too)
        except Exception:  # the task's boundary: somebody else may tell of it
            self._telling.discard((turn.turn_id, turn.attempt, turn.state))
            log.exception("answer not published", turn_id=str(turn.turn_id))

    async def _tell_patiently(self, turn: Turn, *, questions_too: bool) -> None:
        """Publish the answer, however long the broker takes; until then the row holds it."""
        while True:
            try:
                if questions_too:
                    await self.ask(turn, PUBLISH_DEADLINE_S)
                await self._publisher.publish(turn.answered(), deadline_s=PUBLISH_DEADLINE_S)
            except BrokerAway:
                if self._is_closing():
                    log.warning("answer not published", turn_id=str(turn.turn_id))
                    return
                continue
            self._published.append((turn.turn_id, turn.attempt, turn.state))
            return

    async def mark(self) -> None:
        """Note in the rows which turns were told of since the last time."""
        marks, self._published = self._published, []  # two may mark at once
        if not marks:
            return
        try:
            await self._store.mark_published(marks)
        except DATABASE_ERRORS as error:
            self._published = [*marks, *self._published]
            log.debug("turns not marked", error=str(error) or type(error).__name__)
            return
        self._telling.difference_update(marks)
