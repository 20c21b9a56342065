"""Compare what is stored of calls of models: counted, summed and sorted by the database, so that no call leaves it."""

from contextlib import AbstractAsyncContextManager

import asyncpg

from services.gateway.analytics.comparing.answers import LEAST_SESSIONS, MEASURES, Arm, Percentiles, Thumbs, Tokens
from services.gateway.analytics.comparing.intervals import Clusters, Difference, clustered, paired_difference, wilson
from services.gateway.analytics.comparing.statements import (
    ARMS,
    PAIRS,
    Which,
    arguments,
    in_range,
    sessions_of,
    users_of,
)
from shared.database import Connection, Pool, reading
from shared.errors import RangeTooWide

MOST_CALLS = 50_000  # of one comparison


class ComparisonQueries:
    def __init__(self, reader: Pool, admin: Pool, most_calls: int = MOST_CALLS) -> None:
        self._reader = reader
        self._admin = admin
        self._most = most_calls

    async def arms(self, which: Which, *, as_admin: bool) -> list[tuple[Arm, bool]]:
        """Sum up each arm, by name, and tell whether it is of sessions with several models.

        Raises:
            RangeTooWide: There are more calls in the range than one comparison may read.
        """
        async with self._reading(which, as_admin) as db:
            await self._check(db, which)
            rows = await db.fetch(f"{sessions_of(which, as_admin=as_admin)} {ARMS}", *arguments(which))
        return [(_arm(row), row["mixed"]) for row in rows]

    async def pairs(self, which: Which) -> tuple[int, dict[str, Difference]]:
        """Compare two arms within users; return how many users are in both, and what differs.

        Raises:
            RangeTooWide: There are more calls in the range than one comparison may read.
        """
        async with self._reading(which, True) as db:
            await self._check(db, which)
            row = await db.fetchrow(f"{sessions_of(which, as_admin=True)} {PAIRS}", *arguments(which), LEAST_SESSIONS)
        assert row is not None  # noqa: S101 - an aggregate has one row
        found = {
            name: paired_difference(row[f"{name}_mean"], row[f"{name}_deviation"], row[f"{name}_n"])
            for name in MEASURES
        }
        return row["users"], found

    def _reading(self, which: Which, as_admin: bool) -> AbstractAsyncContextManager[Connection]:
        return reading(self._admin) if as_admin else reading(self._reader, *which.user_ids or ())

    async def _check(self, db: Connection, which: Which) -> None:
        count = await db.fetchval(
            f"SELECT count(*) FROM (SELECT FROM chat.traces t WHERE {in_range(which)} LIMIT $4) AS calls",  # noqa: S608
            which.since,
            which.until,
            users_of(which),
            self._most + 1,
        )
        if count > self._most:
            raise RangeTooWide(
                f"There are more than {self._most:,} calls between `from` and `to`: choose a shorter time."
            )


def _arm(row: asyncpg.Record) -> Arm:
    def rate(name: str, of: str = "n") -> Clusters:
        return Clusters(
            sessions=row[f"{of}_sessions"],
            n=row[of],
            x=row[name],
            nn=row[f"{of}_{of}"],
            xn=row[f"{name}_{of}"],
            xx=row[f"{name}_{name}"],
        )

    sessions = row["n_sessions"]
    return Arm(
        name=row["arm"],
        provider=row["provider"],
        users=row["users"],
        sessions=sessions,
        turns=row["n"],
        calls=row["calls"],
        errors=row["errors"],
        interrupted=row["failed"] - row["errors"],
        stopped=row["stopped"],
        error_rate=clustered(rate("failed")),
        failed_sessions=wilson(row["failed_sessions"], sessions),
        regenerate_rate=clustered(rate("regenerated")),
        thumbs=Thumbs(up=row["up"], down=row["down"], up_rate=clustered(rate("up", "thumbs"))),
        disliked_sessions=wilson(row["disliked_sessions"], sessions),
        ttft_ms=_percentiles(row, "ttft"),
        duration_ms=_percentiles(row, "duration"),
        tokens=Tokens(
            input=row["input"],
            output=row["output"],
            total=row["input"] + row["output"],
            estimated_calls=row["estimated"],
        ),
        cost=row["cost"],
    )


def _percentiles(row: asyncpg.Record, name: str) -> Percentiles:
    p50, p95 = row[name] or (None, None)
    return Percentiles(p50=p50, p95=p95, n=row[f"{name}_n"])
