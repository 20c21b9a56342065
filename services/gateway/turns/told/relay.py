"""Bring what the turns say to its readers, where their owners did not: tell, look whether it is stored, tell once more.

An owner that lives, and has a broker, tells by itself. And once what a turn says is stored, its row is needed for a day
more, by whoever repeats its key.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from services.gateway.turns.stored.outbox import FIRST, TRIMMED_AT_ONCE, Outbox, Row, Unstored
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.told.telling import WATCH_S, Telling
from shared.consuming.queue_census import count_queue
from shared.publishing.publisher import Publisher
from shared.topology import LOGGER_CHAT

READ_AT_ONCE = 8  # turns, each as large as a question and an answer may be
PASS_S = 10.0  # between two looks at all that is not stored
TRIM_S = 60.0  # between two looks for what may go

log = structlog.get_logger(__name__)


class Relay:
    """Three jobs, for the one gateway that does them."""

    def __init__(
        self,
        store: TurnStore,
        outbox: Outbox,
        publisher: Publisher,
        telling: Telling,
        unfit: Unfit,
        *,
        lost_after_s: float,
    ) -> None:
        """Prepare to relay.

        Args:
            store: Has the turns.
            outbox: Knows how far they have come.
            publisher: Brings them to the broker.
            telling: Knows which of them this gateway is just telling of.
            unfit: Are passed over.
            lost_after_s: What is so old, was told, and is not stored, is lost where the logger's queue has been empty
                for as long: what the logger has taken from it is not counted.
        """
        self._lost_after_s = lost_after_s
        self._store = store
        self._outbox = outbox
        self._publisher = publisher
        self._telling = telling
        self._unfit = unfit
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._after = FIRST  # where the pass over what is not stored has come to
        self._is_drained = False  # the logger's queue has been for a while, when that pass began
        self._drained_since: float | None = None
        self._next_pass = self._next_trim = 0.0  # by the loop's clock

    def begin(self) -> None:
        """Forget how far the pass had come before another gateway did this work, and what the queue was like then."""
        self._after, self._is_drained, self._drained_since = FIRST, False, None

    async def tell_untold(self) -> bool:
        """Publish what the broker is not known to have, in each session's order.

        Raises:
            BrokerAway: Not all of it could be.
        """
        if self._publisher.away is not None:
            return False
        sessions = await self._outbox.untold(self._telling.overdue_s, self._unfit.turns)
        told = await asyncio.gather(*map(self._tell, sessions), return_exceptions=True)  # or those left would go on
        await self._telling.note(at_once=True)
        for error in told:
            if isinstance(error, BaseException):
                raise error
        return any(told)

    async def _tell(self, session: Sequence[UUID]) -> bool:
        told = False
        for turn_id in session:
            async with self._reading:
                if self._publisher.away is not None:  # by now: each of many would wait for it in vain
                    break
                with self._unfit.passing_over(turn_id):
                    turn = await self._store.find(turn_id)
                    if turn is not None and turn.state != "running":
                        told = await self._telling.tell_now(turn) or told
        return told

    async def settle(self) -> bool:
        """Note what is stored of which its owner did not note it, and publish once more what has got lost."""
        now = asyncio.get_running_loop().time()
        if self._after == FIRST:
            if now < self._next_pass:
                return False
            self._next_pass = now + PASS_S
            waiting, consumers = await count_queue(self._publisher, LOGGER_CHAT.name)
            if not (consumers > 0 and waiting == 0):  # or nobody knows
                self._drained_since = None
            elif self._drained_since is None:
                self._drained_since = now
            self._is_drained = self._drained_since is not None and now - self._drained_since >= self._lost_after_s
            if not consumers > 0:
                return False
        self._after = await self._settle_after(self._after)
        return self._after != FIRST

    async def _settle_after(self, row: Row) -> Row:
        """Settle the next turns, and return the row of the last one; the first where these were all."""
        unstored = await self._outbox.unstored(WATCH_S, row)
        if not unstored:
            return FIRST
        told = [each.told for each in unstored]
        stored = await self._outbox.stored(told)
        if stored:
            await self._outbox.mark([each for each in told if each.turn_id in stored], stored)
        for each in unstored:
            if self._is_drained and each.told.turn_id not in stored and self._is_lost(each):
                with self._unfit.passing_over(each.told.turn_id):
                    await self._tell_again(each.told.turn_id)
        return unstored[-1].row

    async def _tell_again(self, turn_id: UUID) -> None:
        """Publish all of a turn once more; if it comes to nothing again it was refused, and lies in `dead`."""
        turn = await self._store.find(turn_id)
        if turn is None or turn_id in self._unfit:
            return
        for event in turn.events():
            await self._publisher.publish(event)
        await self._outbox.mark_retold(turn_id)
        log.warning("told of a turn once more that nobody has stored", turn_id=str(turn_id))

    async def trim(self) -> bool:
        """Delete the turns that nobody needs any more."""
        now = asyncio.get_running_loop().time()
        if now < self._next_trim:
            return False
        deleted = await self._outbox.trim()
        if deleted < TRIMMED_AT_ONCE:
            self._next_trim = now + TRIM_S
        return deleted > 0

    def _is_lost(self, turn: Unstored) -> bool:
        return turn.is_told and not turn.is_retold and turn.age_s > self._lost_after_s
