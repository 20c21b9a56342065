"""See who waits for whom."""

import asyncio

import asyncpg


async def until_blocked(holder: asyncpg.Connection, within_s: float = 20.0) -> None:
    """Wait until somebody waits for a lock that this connection holds in its transaction."""
    async with asyncio.timeout(within_s):
        # Not pg_stat_activity: a transaction that has looked at it once sees no news there.
        while not await holder.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        ):
            await asyncio.sleep(0.01)
