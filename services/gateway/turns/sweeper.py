"""What one gateway does for all: end the turns whose owner is gone, and tell of what nobody has told.

An owner that lives tells by itself. This is for those that died between an answer's commit and the broker's confirm, or
while they answered.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog

from services.gateway.turns.runner import Runner
from services.gateway.turns.running import RunningTurns
from services.gateway.turns.store import TurnStore
from shared.backoff import Backoff
from shared.database import DATABASE_ERRORS, Pool
from shared.errors import BrokerAway
from shared.leader import Leader
from shared.publisher import Publisher
from shared.worker import Worker

LEADER_LOCK = 0x7477_5357  # "twSW": of the gateway that sweeps
LOOK_S = 2.0
TWICE_S = 10.0  # between two looks that see a lease expired: after an outage of the database, every live one is once
READ_AT_ONCE = 8  # turns, each as large as a question and an answer may be
BACKOFF = Backoff(first_s=1.0, longest_s=4.0)

Attempt = tuple[UUID, int]

log = structlog.get_logger(__name__)


class Sweeper:
    """The two jobs."""

    def __init__(self, store: TurnStore, publisher: Publisher, runner: Runner, running: RunningTurns) -> None:
        self._store = store
        self._publisher = publisher
        self._runner = runner
        self._running = running
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._unfit: set[UUID] = set()  # turns whose rows can't be read or told of; another release may
        self._expired: dict[Attempt, float] = {}  # when each was seen first, by the loop's clock

    def worker(self, pool: Pool) -> Worker:
        """Make what runs the jobs, wherever this gateway is the one that sweeps."""
        jobs = {"abandoned turns": self.end_abandoned, "untold turns": self.tell_untold}
        leader = Leader(pool, LEADER_LOCK, self._begin)
        return Worker("sweeper", leader, jobs, idle_s=LOOK_S, backoff=BACKOFF, is_vital=False)

    async def _begin(self) -> None:
        self._expired.clear()

    async def end_abandoned(self) -> bool:
        """End every turn whose lease was seen expired for a while, with the text of its checkpoint."""
        now = asyncio.get_running_loop().time()
        self._expired = {attempt: self._expired.get(attempt, now) for attempt in await self._store.expired()}
        for (turn_id, attempt), since in self._expired.items():
            if now - since >= TWICE_S and turn_id not in self._unfit:
                with self._passing_over(turn_id):
                    await self._end(turn_id, attempt)
        return False

    async def _end(self, turn_id: UUID, attempt: int) -> None:
        turn = await self._store.find(turn_id)
        if turn is None or turn.attempt != attempt or self._running.here(turn) is not None:
            return
        if await self._running.interrupt(turn) is not None:
            log.warning("ended a turn whose gateway is gone", turn_id=str(turn_id), owner=turn.owner)

    @contextmanager
    def _passing_over(self, turn_id: UUID) -> Iterator[None]:
        """Let one row that can't be worked stand, and the others go on."""
        try:
            yield
        except (*DATABASE_ERRORS, BrokerAway):
            raise
        except Exception:
            self._unfit.add(turn_id)
            log.exception("turn not swept", turn_id=str(turn_id))

    async def tell_untold(self) -> bool:
        """Publish what the broker is not known to have, in each session's order.

        Raises:
            BrokerAway: Not all of it could be.
        """
        if self._publisher.away is not None:
            return False
        sessions = await self._store.untold()
        told = await asyncio.gather(*map(self._tell, sessions))
        await self._runner.mark_told()
        return any(told)

    async def _tell(self, session: Sequence[UUID]) -> bool:
        told = False
        for turn_id in session:
            async with self._reading:
                with self._passing_over(turn_id):
                    told = await self._tell_one(turn_id) or told
        return told

    async def _tell_one(self, turn_id: UUID) -> bool:
        turn = None if turn_id in self._unfit else await self._store.find(turn_id)
        return turn is not None and turn.answer is not None and await self._runner.tell_now(turn)
