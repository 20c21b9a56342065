"""Sweep what was deleted, and what is older than it is to be kept: jobs that one logger does for all."""

from services.logger.sweeping.retention import KINDS
from services.logger.sweeping.sweeps import SweepStore
from shared.backoff import Backoff
from shared.database import Pool
from shared.jobs.leader import Leader
from shared.jobs.retention import retention_jobs
from shared.jobs.worker import Worker
from shared.settings import Settings

LEADER_LOCK = 0x7477_4C47  # "twLG": of the logger that sweeps
LOOK_S = 2.0
BACKOFF = Backoff(first_s=1.0, longest_s=16.0)


class Sweeper:
    """Works one deleted session or one erased user at a time."""

    def __init__(self, store: SweepStore) -> None:
        self._store = store

    async def sweep_session(self) -> bool:
        """Let one deleted session go; tell whether there was one."""
        session = await self._store.next_session()
        if session is not None:
            await self._store.sweep_session(session)
        return session is not None

    async def sweep_user(self) -> bool:
        """Let go what one erased user had; tell whether there was one."""
        user = await self._store.next_user()
        if user is not None:
            await self._store.sweep_user(user)
        return user is not None


def sweeping(pool: Pool, settings: Settings) -> Worker:
    """Make what runs these jobs, wherever this logger is the one that does."""
    sweeper = Sweeper(SweepStore(pool))
    jobs = {
        "deleted sessions": sweeper.sweep_session,
        "erased users": sweeper.sweep_user,
        **retention_jobs(pool, settings, KINDS),
    }
    leader = Leader(pool, LEADER_LOCK)  # nothing comes before: all is in the rows
    return Worker("sweeper", leader, jobs, idle_s=LOOK_S, backoff=BACKOFF, is_vital=False)
