"""One process of several works what is due: for calm, not for correctness.

Correctness is in the rows, by whatever the jobs write: a leader that was suspended may wake up beside its successor.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import structlog

from shared.backoff import pause
from shared.database import ACQUIRE_TIMEOUT_S, DATABASE_ERRORS, Connection, Pool

LOOK_S = 1.0
# The server ends the session of a leader that is silent for longer, and so frees the lock.
SILENCE_S = 10

log = structlog.get_logger(__name__)


class Leader:
    """Holds an advisory lock, or waits for it."""

    def __init__(self, pool: Pool, lock: int, on_elected: Callable[[], Awaitable[None]] | None = None) -> None:
        """Prepare to lead.

        Args:
            pool: One of its connections is the lock's for as long as it is held.
            lock: Its number, the same in every process that may lead, and nobody else's in this database.
            on_elected: What comes before any other work, if anything; where it fails, another is elected.
        """
        self._pool = pool
        self._lock = lock
        self._on_elected = on_elected
        self._stopping = asyncio.Event()
        self._leads = False
        self.trouble: str | None = None  # why nobody knows who leads

    @property
    def leads(self) -> bool:
        return self._leads

    async def run(self) -> None:
        """Try for the lock, and hold it, until `shut_down`."""
        while not self._stopping.is_set():
            try:
                await self._hold()
            except DATABASE_ERRORS as error:
                self.trouble = f"database: {type(error).__name__}: {error}"
                log.warning("leadership unknown", error=self.trouble)
            finally:
                self._leads = False
            await pause(LOOK_S, self._stopping)

    def shut_down(self) -> None:
        self._stopping.set()

    async def _hold(self) -> None:
        """Lead while the session that holds the lock lives; return at once where another does."""
        async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            may_hold = True  # also where its answer never comes
            try:
                may_hold = await self._try_lock(connection)
                self.trouble = None
                if may_hold:
                    await self._lead(connection)
            finally:
                if may_hold:
                    with suppress(asyncpg.InterfaceError):  # the server has ended the session itself
                        connection.terminate()  # the lock and the timeout are the session's, and go with it

    async def _try_lock(self, connection: Connection) -> bool:
        elected = await connection.fetchval(
            "SELECT CASE WHEN pg_try_advisory_lock($1) THEN set_config('idle_session_timeout', $2, false) END",
            self._lock,
            f"{SILENCE_S}s",
        )
        return elected is not None

    async def _lead(self, connection: Connection) -> None:
        if self._on_elected is not None:
            await self._on_elected()
        log.info("leading")
        self._leads = True
        while not self._stopping.is_set():
            await pause(LOOK_S, self._stopping)
            await connection.fetchval("SELECT 1")
