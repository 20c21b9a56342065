"""What one gateway does for all: end the turns whose owner is gone, and what `relay.py` does."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

import structlog

from services.gateway.turns.running import RunningTurns
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.stored.unfit import Unfit
from services.gateway.turns.told.relay import Relay
from shared.backoff import Backoff
from shared.database import Pool
from shared.jobs.leader import Leader
from shared.jobs.worker import Job, Worker

LEADER_LOCK = 0x7477_5357  # "twSW": of the gateway that sweeps
LOOK_S = 2.0
TWICE_S = 10.0  # between two looks that see a lease expired: after an outage of the database, every live one is once
BACKOFF = Backoff(first_s=1.0, longest_s=4.0)

Attempt = tuple[UUID, int]

log = structlog.get_logger(__name__)


class Sweeper:
    """Ends abandoned turns."""

    def __init__(self, store: TurnStore, running: RunningTurns, unfit: Unfit) -> None:
        self._store = store
        self._running = running
        self._unfit = unfit
        self._expired: dict[Attempt, float] = {}  # when each was seen first, by the loop's clock

    async def begin(self) -> None:
        """Forget what was seen before another gateway did this work."""
        self._expired = {}  # another dictionary: a look of before may still be at the old one

    async def end_abandoned(self) -> bool:
        """End every turn whose lease was seen expired for a while, with the text of its checkpoint."""
        now = asyncio.get_running_loop().time()
        self._expired = {attempt: self._expired.get(attempt, now) for attempt in await self._store.expired()}
        for (turn_id, attempt), since in self._expired.items():
            if now - since >= TWICE_S and turn_id not in self._unfit:
                with self._unfit.passing_over(turn_id):
                    await self._end(turn_id, attempt)
        return False

    async def _end(self, turn_id: UUID, attempt: int) -> None:
        turn = await self._store.find(turn_id)
        if turn is None or turn.attempt != attempt or self._running.here(turn) is not None:
            return
        if await self._running.interrupt(turn) is not None:
            log.warning("ended a turn whose gateway is gone", turn_id=str(turn_id), owner=turn.owner)


def sweeping(pool: Pool, sweeper: Sweeper, relay: Relay, others: Mapping[str, Job]) -> Worker:
    """Make what runs the jobs of both and these others, by name, wherever this gateway is the one that does."""
    jobs = {
        "abandoned turns": sweeper.end_abandoned,
        "untold turns": relay.tell_untold,
        "unstored turns": relay.settle,
        "old turns": relay.trim,
        **others,
    }

    async def begin() -> None:
        await sweeper.begin()
        relay.begin()

    leader = Leader(pool, LEADER_LOCK, begin)
    return Worker("sweeper", leader, jobs, idle_s=LOOK_S, backoff=BACKOFF, is_vital=False)
