"""A pooler between us and the database: it must give each of our connections a session of its own.

PgBouncer in transaction mode (Supabase's pooler on port 6543 too) hands a session to whoever comes next, once a
transaction has ended. What we keep on a session would be somebody else's then: prepared statements, timeouts, and the
advisory lock by which one workflow is the leader.
"""

from contextlib import AsyncExitStack

import asyncpg

from shared.database import DATABASE_ERRORS
from shared.settings import NEEDED, Settings

CONNECT_TIMEOUT_S = 5.0


async def refuse_shared_sessions(settings: Settings, service: str) -> None:
    """Return where each of the service's logins has sessions of its own, or the database is away.

    Raises:
        ValueError: One has not.
    """
    for name in (name for name in NEEDED[service] if name.endswith("_database_url")):
        try:
            shares = await shares_sessions(getattr(settings, name))
        except (*DATABASE_ERRORS, ValueError, TimeoutError):
            continue  # readiness says so, until it is there
        if shares:
            raise ValueError(
                f"{name.upper()} leads through a pooler in transaction mode; it needs one in session mode, or none"
            )


async def shares_sessions(url: str) -> bool:
    """Tell whether two connections that are open at once are served by one process of the server, or one by two."""
    async with AsyncExitStack() as stack:
        first, second = [await _connect(stack, url) for _ in range(2)]
        before = await _backend(first)
        # The session that the first one's transaction has left is the one that a pooler takes next.
        async with second.transaction():
            other: int = await second.fetchval("SELECT pg_backend_pid()")
            return before == other or before != await _backend(first)


async def _connect(stack: AsyncExitStack, url: str) -> asyncpg.Connection:
    # Without names for its statements, which a session that is shared would not know.
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, command_timeout=5, statement_cache_size=0)
    stack.push_async_callback(connection.close, timeout=CONNECT_TIMEOUT_S)
    return connection


async def _backend(connection: asyncpg.Connection) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid
