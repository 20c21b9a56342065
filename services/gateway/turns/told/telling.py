"""Tell of the turns that run here: publish their events, and note in the rows what the broker has and what is stored.

The row is the outbox: what cannot be published now is left there, and `relay.py` tells of it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any
from uuid import UUID

import structlog

from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.stored.outbox import Outbox, Told
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.turn import Turn
from shared.backoff import Delays
from shared.broker.connection import describe
from shared.database import DATABASE_ERRORS
from shared.errors import BrokerAway
from shared.publishing.publisher import Publisher
from shared.topology import QUESTION_OF_TAGGED

# The model is asked first: broker, logger and tagger would take the processor from what its first piece comes through.
# The question is in its row meanwhile. Once there is an answer, nothing is gained by waiting.
ASK_AFTER_S = 0.02
ASK_DEADLINE_S = 60.0  # before another try to publish a question, for as long as its turn runs
ASKED_WAIT_S = 5.0  # for the question, once there is an answer
NOTE_EVERY_S = 2.0
UNTOLD_S = 10.0  # by then whoever ended a turn has told of it and noted that; else it is gone, or had no broker
NOTE_S = 4.0  # what is stored by then is noted as told and as stored at once
WATCH_S = 20.0  # what is not stored by then is left to the relay

Known = tuple[UUID, int, str]  # turn, attempt and state, which tells an answer from one that replaces it

log = structlog.get_logger(__name__)


def has_asked(asking: "asyncio.Task[bool] | None") -> bool:
    """Tell whether the broker is known to have the question."""
    return asking is not None and asking.done() and not asking.cancelled() and asking.exception() is None


def has_told(telling: asyncio.Task[bool]) -> bool:
    """Tell whether the broker is known to have all that a turn says."""
    return has_asked(telling) and telling.result()


def _end(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


@dataclass
class _Watched:
    """What was published, and is not known to be stored yet."""

    told: Told
    since: float  # by the loop's clock
    is_noted: bool = False


class Telling:
    """The answers that this gateway publishes, and those that are published and not noted as stored yet."""

    def __init__(
        self,
        store: TurnStore,
        outbox: Outbox,
        publisher: Publisher,
        spawn: Callable[[Coroutine[Any, Any, bool]], asyncio.Task[bool]],
    ) -> None:
        """Prepare to tell; `spawn` runs what must not end with the request that began it."""
        self._store = store
        self._outbox = outbox
        self._publisher = publisher
        self._spawn = spawn
        self._watched: dict[Known, _Watched] = {}
        self._telling: set[Known] = set()
        self._pauses: dict[UUID, asyncio.Future[None]] = {}  # before questions are published
        self._away_at = -inf  # when the broker was seen to be away last, by the loop's clock

    @property
    def overdue_s(self) -> float:
        """How many seconds after its end nobody is about to tell of a turn any more.

        What ended before the broker came back was left by whoever ended it; that it is back is seen a while later.
        """
        back_for_s = asyncio.get_running_loop().time() - self._away_at - NOTE_EVERY_S
        return max(0.0, min(UNTOLD_S, back_for_s))

    def ask(self, turn: Turn, session: Sequence[Glimpse] = (), *, is_tagged: bool = False) -> asyncio.Task[bool]:
        """Begin to publish a question, for as long as it takes; what was left untold of its session goes before it.

        A question that comes before the session's first one may give it another model's tag. Where the session has its
        tag, it goes by a key that the tagger does not hear.
        """
        return self._spawn(self._ask(turn, self._overdue(session), QUESTION_OF_TAGGED if is_tagged else None))

    def _overdue(self, session: Sequence[Glimpse]) -> list[Glimpse]:
        if not session:
            return []
        overdue_s = self.overdue_s
        before = [said for said in session if not said.told and said.state != "running" and said.age_s > overdue_s]
        return sorted(before, key=lambda said: said.place)

    async def _ask(self, turn: Turn, before: Sequence[Glimpse], key: str | None) -> bool:
        await self._pause(turn.turn_id)
        delays = Delays()
        while True:
            try:
                for said in before:
                    await self._tell_earlier(said)
                for event in turn.asked():
                    await self._publisher.publish(event, deadline_s=ASK_DEADLINE_S, key=key)
            except BrokerAway:
                await asyncio.sleep(delays.next())
            else:
                return True

    async def _pause(self, turn_id: UUID) -> None:
        """Let the model be asked first, until the turn has an answer (`ask_now`)."""
        loop = asyncio.get_running_loop()
        pause = self._pauses[turn_id] = loop.create_future()
        waking = loop.call_later(ASK_AFTER_S, _end, pause)
        try:
            await pause
        finally:
            waking.cancel()
            self._pauses.pop(turn_id, None)

    def ask_now(self, turn_id: UUID) -> None:
        """Let the model be asked first no more: it has answered. So the question is told while the answer is kept."""
        if (pause := self._pauses.get(turn_id)) is not None:
            _end(pause)

    async def _tell_earlier(self, said: Glimpse) -> None:
        known = (said.turn_id, said.attempt, said.state)
        if known in self._telling or known in self._watched:
            return
        try:
            turn = await self._store.find(said.turn_id)
        except DATABASE_ERRORS as error:
            log.warning("turn not told", turn_id=str(said.turn_id), error=describe(error))
            return  # the relay will
        if turn is not None and (turn.attempt, turn.state) == (said.attempt, said.state):
            await self.tell_now(turn)

    def tell(
        self, turn: Turn, asking: asyncio.Task[bool] | None = None, session: Sequence[Glimpse] = ()
    ) -> asyncio.Task[bool]:
        """Begin to publish all that a turn says that is over.

        Args:
            turn: Which.
            asking: The telling of its question.
            session: What was left untold of it goes first.
        """
        return self._spawn(self._tell(turn, asking, self._overdue(session)))

    async def _tell(self, turn: Turn, asking: asyncio.Task[bool] | None, before: Sequence[Glimpse]) -> bool:
        """Return whether it could be told; else its row has it."""
        try:
            if self._publisher.away is not None:
                return False
            for said in before:
                await self._tell_earlier(said)
            if asking is not None and not asking.done():
                await asyncio.wait({asking}, timeout=ASKED_WAIT_S)
            return await self.tell_now(turn, is_asked=has_asked(asking))
        except BrokerAway as error:
            log.info("turn not told yet", turn_id=str(turn.turn_id), error=error.detail)
        except Exception:  # the task's boundary: the relay may tell of it
            log.exception("turn not told", turn_id=str(turn.turn_id))
        finally:
            if asking is not None:
                asking.cancel()
        return False

    async def tell_now(self, turn: Turn, *, is_asked: bool = False) -> bool:
        """Publish what a turn says, without its question where that `is_asked`.

        Returns:
            False where that is under way here, or done and not noted yet.

        Raises:
            BrokerAway: Not all of it could be.
        """
        known = (turn.turn_id, turn.attempt, turn.state)
        if known in self._telling or self._has_told(turn):
            return False
        self._telling.add(known)
        try:
            for event in turn.answers() if is_asked else turn.events():
                await self._publisher.publish(event)
        finally:
            self._telling.discard(known)
        self._watched[known] = _Watched(Told.of(turn), asyncio.get_running_loop().time())
        return True

    def _has_told(self, turn: Turn) -> bool:
        watched = self._watched.get((turn.turn_id, turn.attempt, turn.state))
        return watched is not None and watched.told.revision == (turn.answer.revision if turn.answer else 0)

    async def note(self, *, at_once: bool = False) -> None:
        """Note in the rows what is stored, and what was told of and is not stored after a while, or `at_once`."""
        now = asyncio.get_running_loop().time()
        if self._publisher.away is not None:
            self._away_at = now
        if not self._watched:
            return
        try:
            await self._note(now, 0.0 if at_once else NOTE_S)
        except DATABASE_ERRORS as error:
            log.debug("turns not noted", error=describe(error))

    async def _note(self, now: float, told_after_s: float) -> None:
        watched = list(self._watched.items())
        stored = await self._stored([each.told for _, each in watched])
        due = [
            (known, each)
            for known, each in watched
            if each.told.turn_id in stored or (not each.is_noted and now - each.since >= told_after_s)
        ]
        if due:
            await self._outbox.mark([each.told for _, each in due], stored)
        for _, each in due:
            each.is_noted = True
        for known, each in watched:
            is_over = each.told.turn_id in stored or (each.is_noted and now - each.since >= WATCH_S)
            if is_over and self._watched.get(known) is each:
                del self._watched[known]

    async def _stored(self, told: Sequence[Told]) -> set[UUID]:
        try:
            return await self._outbox.stored(told)
        except DATABASE_ERRORS as error:  # what is stored may be looked up later; what is told is noted all the same
            log.debug("not known what is stored", error=describe(error))
            return set()
