"""Let rows go that are older than an operator wants them kept: in portions, each a statement and a commit of its own.

Nothing is remembered from one portion to the next, so a process that ends in between loses nothing and repeats nothing.
What may go is looked at again under the row's lock; a row that somebody is at is left for a later look. Two processes
never take one row both, and a service's leader is the only one that looks.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from shared.database import ACQUIRE_TIMEOUT_S, Pool
from shared.jobs.worker import Job
from shared.settings import Settings
from shared.sweeping import PORTION

LOOK_S = 60.0  # between two looks for what has become old
PAUSE_S = 1.0  # at least, between two portions: others have the database meanwhile

RETIRED = Counter("tripthread_retired_total", "What was let go because it was old, by its kind", ["kind"])
LOOKED = Gauge(
    "tripthread_retention_look_timestamp_seconds", "When nothing old was left of a kind last, since the epoch", ["kind"]
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Kind:
    """Rows of one table that go by their age. All but the first is SQL about a row.

    In it BEFORE stands for the moment up to which rows are old. That is `now()`'s, because no index is looked up by the
    clock's time. A day is 24 hours, whatever the clocks do.
    """

    name: str  # its setting is this, with `_kept_days`
    table: str
    at: str  # of when it is, in the order of an index
    since: str = ""  # where that may be later: of when it is after all
    among: str = "true"  # of which rows this is said at all
    may_go: str = "true"
    is_missed: str = "false"  # of one that goes: was it kept nowhere else?

    def old(self, days: str) -> str:
        """Spell the condition that a row is older than so many days, an SQL expression."""
        later = f" AND {self.since} < BEFORE" if self.since else ""
        return self._with_moment(f"{self.among} AND {self.at} < BEFORE{later}", days)

    def going(self, days: str) -> str:
        """Spell the condition that it is to go besides."""
        return f"{self.old(days)} AND {self._with_moment(self.may_go, days)}"

    def kept_days(self, settings: Settings) -> int | None:
        """Return after how many days it goes; None: it stays."""
        days: int | None = getattr(settings, f"{self.name}_kept_days")
        return days

    def _with_moment(self, condition: str, days: str) -> str:
        return condition.replace("BEFORE", f"(now() - make_interval(hours => 24 * {days}::integer))")


async def retire(pool: Pool, kind: Kind, days: int, portion: int = PORTION) -> int:
    """Let a portion of what is older go; return how much it was."""
    old = kind.going("$1")
    statement = f"""
        DELETE FROM {kind.table} WHERE {old} AND ctid = ANY (ARRAY(
            SELECT ctid FROM {kind.table} WHERE {old} ORDER BY {kind.at} LIMIT $2 FOR UPDATE SKIP LOCKED))
        RETURNING {kind.is_missed} AS is_missed
        """  # noqa: S608 - constants of the service
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
        rows = await db.fetch(statement, days, portion)
    if missed := sum(row["is_missed"] for row in rows):
        log.warning("what was kept nowhere else was too old", kind=kind.name, number=missed)
    return len(rows)


class Retiring:
    """The job of one kind."""

    def __init__(self, pool: Pool, kind: Kind, days: int, portion: int = PORTION) -> None:
        self._pool = pool
        self._kind = kind
        self._days = days
        self._portion = portion
        self._next = 0.0  # by the loop's clock

    async def work(self) -> bool:
        """Let a portion go where it is time for one. There is never more to do at once: it has all the time."""
        now = asyncio.get_running_loop().time()
        if now < self._next:
            return False
        number = await retire(self._pool, self._kind, self._days, self._portion)
        is_done = number < self._portion
        told(self._kind.name, number, is_done=is_done)
        self._next = asyncio.get_running_loop().time() + (LOOK_S if is_done else PAUSE_S)
        return False


def told(kind: str, number: int, *, is_done: bool) -> None:
    """Count what was let go, and note when there was no more of it."""
    RETIRED.labels(kind).inc(number)
    if number:
        log.info("let go what was old", kind=kind, number=number)
    if is_done:
        LOOKED.labels(kind).set_to_current_time()


def retention_jobs(pool: Pool, settings: Settings, kinds: Iterable[Kind]) -> dict[str, Job]:
    """Return a job for each kind that does not stay, by the name that it has in logs."""
    days = {kind: kind.kept_days(settings) for kind in kinds}
    return {f"old {kind.name}": Retiring(pool, kind, most).work for kind, most in days.items() if most is not None}
