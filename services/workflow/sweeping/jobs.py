"""Let go what users deleted, after every one who may not know of it has ended: a session's, or all that a user had."""

from services.workflow.store.sweeps import Gone, SweepStore
from shared.database import Pool
from shared.jobs.ledger import Ledger, next_erasure, settle_erasure

LEDGER: Ledger = "workflow.erased_users"


class Sweeper:
    """Two jobs, each one portion at a time."""

    def __init__(self, pool: Pool, sweeps: SweepStore) -> None:
        self._pool = pool
        self._sweeps = sweeps

    async def sweep_session(self) -> bool:
        """Let a portion of a deleted session go; tell whether there was one."""
        gone = await self._sweeps.next_session()
        if gone is None:
            return False
        if not await self._let_go(gone):
            await self._sweeps.settle_session(gone)
        return True

    async def sweep_user(self) -> bool:
        """Let a portion of an erased user's go; tell whether there was one."""
        erasure = await next_erasure(self._pool, LEDGER)
        if erasure is None:
            return False
        if not (await self._let_go(Gone(erasure.user_id)) or await self._sweeps.drop_tombstones(erasure)):
            await settle_erasure(self._pool, LEDGER, erasure)
        return True

    async def _let_go(self, gone: Gone) -> bool:
        return (
            await self._sweeps.drop_orders(gone)
            or await self._sweeps.drop_proposals(gone)
            or await self._sweeps.untie(gone)
        )
