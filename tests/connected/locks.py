"""See who waits for a lock."""

import asyncpg

from tests.waiting import until


async def until_blocked(looking: asyncpg.Connection, count: int = 1) -> list[str]:
    """Wait until so many sessions of this database wait for locks, and return their names."""

    async def blocked() -> list[str] | None:
        # A transaction that has looked at it once sees no news there otherwise.
        await looking.execute("SELECT pg_stat_clear_snapshot()")
        rows = await looking.fetch(
            """
            SELECT split_part(application_name, ' ', 1) AS instance FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        )
        return [row["instance"] for row in rows] if len(rows) >= count else None

    return await until(blocked, f"{count} sessions that wait for a lock")
