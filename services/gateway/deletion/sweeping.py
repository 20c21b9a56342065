"""What one gateway does for all: tell of deletions that nobody told of, sweep here, and see it done."""

import structlog

from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.noted import NotedDeletions
from services.gateway.deletion.store import DeletionStore, Key
from services.gateway.deletion.sweeps import SweepStore
from services.gateway.turns.stored.store import TurnStore
from shared.events import SessionDeleted, UserErased
from shared.ids import user_hash
from shared.jobs.worker import Job

FIRST: Key = ("", "")

log = structlog.get_logger(__name__)


class DeletionSweeper:
    """Jobs; each tells whether there is more to do at once."""

    def __init__(
        self, store: DeletionStore, sweeps: SweepStore, noted: NotedDeletions, turns: TurnStore, deleting: Deleting
    ) -> None:
        self._store = store
        self._sweeps = sweeps
        self._noted = noted
        self._turns = turns
        self._deleting = deleting
        self._after, self._after_user = FIRST, b""  # where the looks at what is not settled have come to

    def jobs(self) -> dict[str, Job]:
        """Return what is to be done, by the names that it has in logs."""
        return {
            "untold deletions": self.tell,
            "deleted sessions": self.sweep_sessions,
            "unsettled deletions": self.settle_sessions,
            "erased users": self.sweep_users,
            "unsettled erasures": self.settle_users,
        }

    async def tell(self) -> bool:
        """Publish what the broker does not have, or what nobody seems to have heard."""
        events: list[SessionDeleted | UserErased] = [
            *(deletion.event() for deletion in await self._store.untold_deletions()),
            *(erasure.event() for erasure in await self._store.untold_erasures()),
        ]
        return bool(events) and await self._deleting.tell(events)

    async def sweep_sessions(self) -> bool:
        """Let the turns of deleted sessions go, and look once more when nobody can begin one any more."""
        unswept = await self._sweeps.unswept()
        if not unswept:
            return False
        running = await self._turns.running_of(list(unswept))
        for turn in running:
            await self._deleting.stop(turn)
        await self._sweeps.sweep_sessions(list(unswept))
        busy = {(turn.user_id, turn.session_id) for turn in running}
        final = [key for key, is_final in unswept.items() if is_final and key not in busy]
        if final:
            await self._sweeps.swept(final)
        return bool(final)

    async def settle_sessions(self) -> bool:
        """See of which sessions nothing is left anywhere."""
        sessions = await self._sweeps.unsettled(self._after)
        self._after = sessions[-1] if sessions else FIRST
        if not sessions:
            return False
        gone = await self._noted.gone(sessions)
        if gone:
            await self._sweeps.settle(gone)
        return True

    async def sweep_users(self) -> bool:
        """Let go what erased users had here, and look once more when nobody can add to it any more."""
        has_swept = False
        for erasure, is_final in await self._sweeps.unswept_users():
            running = await self._turns.running_of([(erasure.user_id, None)])
            older = [turn for turn in running if turn.asked_at <= erasure.erased_at]
            for turn in older:
                await self._deleting.stop(turn)
            await self._sweeps.sweep_user(erasure.user_id, erasure.erased_at)
            if is_final and not older:
                await self._sweeps.swept_user(erasure.event_id)
                has_swept = True
        return has_swept

    async def settle_users(self) -> bool:
        """See of which erased users nothing is left anywhere."""
        erasures = await self._sweeps.undone(self._after_user)
        self._after_user = user_hash(erasures[-1].user_id) if erasures else b""
        for erasure in erasures:
            if all((await self._noted.erased(user_hash(erasure.user_id), erasure.erased_at)).values()):
                await self._sweeps.done(erasure)
                log.info("erased a user", erased_at=erasure.erased_at.isoformat())
        return bool(erasures)
