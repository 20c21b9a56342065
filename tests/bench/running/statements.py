"""What the database executes for a turn: the statements that take it longest, as pg_stat_statements counts them."""

import asyncpg

# https://www.postgresql.org/docs/15/pgstatstatements.html; Debian's package of the server has it
SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
ROWS = 30
TEXT_LENGTH = 150


async def count_anew(owner: asyncpg.Connection) -> None:
    """Forget what was executed so far."""
    await owner.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    await owner.execute("SELECT pg_stat_statements_reset()")


async def statements_table(owner: asyncpg.Connection, turns: int) -> str:
    """Spell how often, and for how long, each statement was executed for a turn, and the WAL that it wrote.

    It is time by the clock, without the client's round trip; nor does it hold the commit of a statement that is its
    own transaction, which waits for the disk.
    """
    rows = await owner.fetch(
        r"""
        SELECT rolname AS login, regexp_replace(query, '\s+', ' ', 'g') AS query, sum(calls) AS calls,
            sum(total_exec_time + total_plan_time) AS ms, sum(total_plan_time) AS planning_ms,
            sum(wal_bytes) AS wal_bytes
        FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid
        WHERE rolname <> current_user
        GROUP BY rolname, regexp_replace(query, '\s+', ' ', 'g')
        ORDER BY ms DESC LIMIT $1
        """,
        ROWS,
    )
    lines = "".join(_line(row, turns) for row in rows)
    return f"\nstatements: ms, planning's part of them, calls and bytes of WAL a turn\n{lines}"


def _line(row: asyncpg.Record, turns: int) -> str:
    ms, planning_ms, calls = (float(row[name]) / turns for name in ("ms", "planning_ms", "calls"))
    statement = f"{row['login'].removeprefix('tripthread_')}: {row['query'].strip()[:TEXT_LENGTH]}"
    return f"{ms:8.3f} {planning_ms:8.3f} {calls:8.3f} {float(row['wal_bytes']) / turns:9.0f}  {statement}\n"
