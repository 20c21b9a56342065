"""`tripthread retention`: how long what is stored is kept, and how much of it is old."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.gateway.deletion.retention import SESSIONS
from services.gateway.turns.stored.retention import TURNS
from services.logger.sweeping.retention import KINDS as OF_LOGGER
from services.workflow.sweeping.retention import KINDS as OF_WORKFLOW
from shared.configured.urls import malformed
from shared.database import Connection, Pool, open_pool
from shared.jobs.retention import Kind
from shared.settings import Settings

LOGIN = "tripthread retention"
LONGEST_MS = 1_800_000  # that one count may take
HEADS = ("kind", "setting", "kept", "would go", "old, but stays", "the oldest")
KINDS = (SESSIONS, TURNS, *OF_LOGGER, *OF_WORKFLOW)


@dataclass(frozen=True)
class Old:
    """How much there is of one kind."""

    name: str
    days: int | None  # none: it stays, whatever its age
    going: int
    missed: int  # of these
    staying: int  # as old, but not to go
    oldest: str  # of when that is, in UTC; empty: there is nothing

    @property
    def cells(self) -> tuple[str, ...]:
        """Spell it as a line of the table."""
        kept = "for ever" if self.days is None else f"{self.days} days"
        numbers = (str(self.going), str(self.staying))
        return (
            self.name.replace("_", " "),
            f"{self.name}_kept_days".upper(),
            kept,
            *(numbers if self.days is not None else ("-", "-")),
            self.oldest or "-",
        )


async def look(settings: Settings, days: int | None = None) -> AsyncIterator[Old]:
    """Count what is old, and let nothing go.

    Args:
        settings: Where the database is, and after how many days what goes.
        days: As if each kind whose setting is empty went after so many.

    Raises:
        ValueError: A setting is wrong.
    """
    if wrong := malformed("admin_database_url", settings.admin_database_url):
        raise ValueError(wrong)
    async with open_pool(settings.admin_database_url, LOGIN, 1, statement_timeout_ms=LONGEST_MS) as pool:
        for kind in KINDS:
            own = kind.kept_days(settings)
            yield await _count(pool, kind, days if own is None else own)


async def _count(pool: Pool, kind: Kind, days: int | None) -> Old:
    async with pool.acquire() as db:
        oldest = await db.fetchval(
            f"""
            SELECT to_char({kind.at} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"') FROM {kind.table}
            WHERE {kind.among} ORDER BY {kind.at} LIMIT 1
            """  # noqa: S608 - constants of the services, here and below
        )
        going, missed, staying = (0, 0, 0) if days is None else await _old(db, kind, days)
    return Old(kind.name, days, going, missed, staying, oldest or "")


async def _old(db: Connection, kind: Kind, days: int) -> tuple[int, int, int]:
    row = await db.fetchrow(
        f"""
        SELECT count(*) FILTER (WHERE goes), count(*) FILTER (WHERE goes AND is_missed),
            count(*) FILTER (WHERE NOT goes)
        FROM (SELECT {kind.going("$1")} AS goes, {kind.is_missed} AS is_missed
            FROM {kind.table} WHERE {kind.old("$1")}) AS each
        """,  # noqa: S608
        days,
    )
    assert row is not None  # noqa: S101 - it counts
    return row[0], row[1], row[2]
