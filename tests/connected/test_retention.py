"""What is older than it is to be kept goes, kind by kind, by the service that has it, by its own login."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from deploy.cli import app
from deploy.commands.retention import KINDS
from services.gateway.account.limits.old_days import trimming
from services.gateway.deletion.retention import SESSIONS
from services.logger.sweeping import retention as of_logger
from shared.database import Pool, open_pool
from shared.jobs.retention import Kind, Retiring, retention_jobs, retire
from shared.settings import Settings
from tests.processes import Process, environment_of, running
from tests.waiting import until

DAYS = 30
# A row of each kind that is so many days old, by its id, as far as its table makes no difference.
PLANTED = {
    "traces": """
        INSERT INTO chat.traces (user_id, trace_id, model, status, started_at, accepted_at, event_id)
        VALUES ('ann', $1, 'm', 'ok', now() - $2 * interval '1 day', now() - $2 * interval '1 day', gen_random_uuid())
        """,
    "reads": """
        INSERT INTO chat.conversation_reads (read_id, operator, user_id, occurred_at)
        VALUES (md5($1)::uuid, 'ops', 'ann', now() - $2 * interval '1 day')
        """,
    "dead_letters": """
        INSERT INTO chat.dead_letters (dead_letter_id, queue, dedupe_key, body, reason, error, received_at)
        VALUES (md5($1)::uuid, 'logger.chat', $1, 'x', 'undecodable', 'x', now() - $2 * interval '1 day')
        """,
    "deliveries": """
        INSERT INTO workflow.deliveries (delivery_id, source, payload, state, received_at, event_id)
        VALUES (md5($1)::uuid, 'avinode', 'x', 'done', now() - $2 * interval '1 day', gen_random_uuid())
        """,
    "turns": """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at, answer, answered_at, question_published, answer_published, retold_at)
        VALUES (md5($1)::uuid, 'ann', $1, 'x', 'o', 'complete', now(), gen_random_uuid(), 'm', 'openai',
            '{"message_id": "q", "content": "Hello"}', now() - $2 * interval '1 day',
            '{"content": "x", "parts": [], "status": "complete", "error": null, "trace": {}, "revision": 0}',
            now() - $2 * interval '1 day', true, true, now() - $2 * interval '1 day')
        """,
}
ROWS = [kind for kind in KINDS if kind is not SESSIONS]  # each by itself
BY_NAME = {kind.name: kind for kind in KINDS}
TWICE = ("reads", "dead_letters", "deliveries", "turns")
# What makes an old row one that stays.
STAYING = (
    ("traces", "accepted_at = now()"),
    ("dead_letters", "state = 'replayed', decided_by = 'ops', decided_at = now()"),
    ("deliveries", "reprocessed_at = now()"),
    ("deliveries", "state = 'due'"),
    ("deliveries", "state = 'unmatched'"),
    ("turns", "state = 'running', answer = NULL, answered_at = NULL"),
    ("turns", "question_published = false"),
    ("turns", "answer_published = false"),
    ("turns", "retold_at = NULL"),
    ("turns", "waits_until = clock_timestamp() + interval '1 day'"),
)


async def plant(owner: asyncpg.Connection, kind: str, **ages: float) -> None:
    for name, age in ages.items():
        await owner.execute(PLANTED[kind], name, float(age))


async def left(owner: asyncpg.Connection, kind: str) -> list[int]:
    """Return how many days old the rows are that are left, the oldest first."""
    of = BY_NAME[kind]
    query = f"SELECT extract(days FROM now() - {of.at})::integer AS days FROM {of.table} ORDER BY {of.at}"  # noqa: S608
    return [row["days"] for row in await owner.fetch(query)]


@asynccontextmanager
async def pool_of(settings: Settings, kind: Kind) -> AsyncIterator[Pool]:
    """Connect as the service whose schema it is."""
    service = {"chat": "logger", "workflow": "workflow", "gateway": "gateway"}[kind.table.partition(".")[0]]
    async with open_pool(getattr(settings, f"{service}_database_url"), "test", 2) as pool:
        yield pool


def kept(settings: Settings, **days: int) -> Settings:
    return settings.model_copy(update={f"{name}_kept_days": number for name, number in days.items()})


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
async def test_what_is_older_goes_in_portions_and_nothing_else(
    settings: Settings, owner: asyncpg.Connection, kind: Kind
) -> None:
    await plant(owner, kind.name, a=DAYS + 3, b=DAYS + 2, c=DAYS + 1, d=DAYS - 1, e=0)
    async with pool_of(settings, kind) as pool:
        assert [await retire(pool, kind, DAYS, portion=2) for _ in range(3)] == [2, 1, 0]
    assert await left(owner, kind.name) == [DAYS - 1, 0]


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
async def test_a_row_that_somebody_is_at_is_left_and_looked_at_again(
    settings: Settings, owner: asyncpg.Connection, kind: Kind
) -> None:
    await plant(owner, kind.name, a=DAYS + 2, b=DAYS + 1)
    async with pool_of(settings, kind) as pool:
        async with owner.transaction():
            await owner.execute(f"SELECT FROM {kind.table} ORDER BY {kind.at} LIMIT 1 FOR UPDATE")
            assert await retire(pool, kind, DAYS) == 1
        assert await left(owner, kind.name) == [DAYS + 2]
        assert await retire(pool, kind, DAYS) == 1


@pytest.mark.parametrize(("name", "change"), STAYING)
async def test_what_is_in_use_or_has_become_younger_stays(
    settings: Settings, owner: asyncpg.Connection, name: str, change: str
) -> None:
    kind = BY_NAME[name]
    await plant(owner, name, a=DAYS + 1)
    async with pool_of(settings, kind) as pool:
        await owner.execute(f"UPDATE {kind.table} SET {change}")  # noqa: S608
        assert await retire(pool, kind, DAYS) == 0
    assert await left(owner, name) == [DAYS + 1]


async def test_days_that_were_counted_under_no_name_go_when_nobody_looks_at_them_any_more(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    names = ["ann", "from somewhere", f"from {'a' * 32}", f"erased:{'a' * 64}"]
    await owner.execute(
        """
        INSERT INTO gateway.usage (user_id, day)
        SELECT name, (now() AT TIME ZONE 'UTC')::date - age
        FROM unnest($1::text[]) AS name, unnest('{0,1,4,400}'::integer[]) AS age
        """,
        names,
    )
    async with open_pool(settings.gateway_database_url, "test", 1) as pool:
        await trimming(pool)["old counted days"]()
    rows = await owner.fetch("SELECT user_id, count(*) FROM gateway.usage GROUP BY user_id")
    assert dict(map(tuple, rows)) == dict(zip(names, (4, 4, 2, 2), strict=True))


async def test_two_processes_at_once_take_no_row_twice(settings: Settings, owner: asyncpg.Connection) -> None:
    await plant(owner, "traces", **{f"t{number}": DAYS + 1 for number in range(40)})
    async with pool_of(settings, of_logger.TRACES) as pool:
        numbers = await asyncio.gather(*(retire(pool, of_logger.TRACES, DAYS, portion=10) for _ in range(8)))
        rest = await retire(pool, of_logger.TRACES, DAYS)
    assert sum(numbers) + rest == 40
    assert await left(owner, "traces") == []


async def test_a_look_that_leaves_nothing_old_is_counted_and_the_next_one_takes_its_time(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("tripthread_retired_total", {"kind": "traces"}) or 0

    await plant(owner, "traces", a=DAYS + 1)
    async with pool_of(settings, of_logger.TRACES) as pool:
        retiring, before = Retiring(pool, of_logger.TRACES, DAYS), count()
        assert await retiring.work() is False
        assert count() == before + 1
        looked_at = REGISTRY.get_sample_value("tripthread_retention_look_timestamp_seconds", {"kind": "traces"})
        assert abs((looked_at or 0) - await owner.fetchval("SELECT extract(epoch FROM now())::float8")) < 60
        await plant(owner, "traces", b=DAYS + 1)
        await retiring.work()
    assert await left(owner, "traces") == [DAYS + 1]


async def test_nothing_goes_by_default(settings: Settings) -> None:
    async with open_pool(settings.logger_database_url, "test", 1) as pool:
        assert retention_jobs(pool, settings, ROWS) == {}
        assert list(retention_jobs(pool, kept(settings, reads=1), ROWS)) == ["old reads"]


class Stored:
    """Rows of every kind, old ones and others, and what is left of them."""

    def __init__(self, owner: asyncpg.Connection) -> None:
        self._owner = owner

    async def plant(self) -> None:
        """Write 2,500 old traces and 100 others; 120 old sessions, one that is about to fly, and a young one."""
        await self._owner.execute(
            """
            INSERT INTO chat.traces (user_id, trace_id, model, status, started_at, accepted_at, event_id)
            SELECT 'ann', 't' || number, 'm', 'ok', at, at, gen_random_uuid()
            FROM (SELECT number, now() - CASE WHEN number < 2500 THEN interval '40 days' ELSE interval '1 day' END AS at
                FROM generate_series(0, 2599) AS number) AS each
            """
        )
        await self._owner.execute(
            """
            WITH sessions AS (
                INSERT INTO chat.sessions (user_id, session_id, last_activity_at, created_at, updated_at, message_count)
                SELECT 'ann', name, at, at, at, 1 FROM (
                    SELECT 's' || n AS name, now() - interval '31 days' AS at FROM generate_series(1, 120) AS n
                    UNION ALL VALUES ('flying', now() - interval '31 days'), ('young', now() - interval '1 day')) AS s
                RETURNING *
            ), messages AS (
                INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
                SELECT user_id, session_id, 'm', 'user', 'Hello', gen_random_uuid(), created_at FROM sessions
            ), trips AS (
                INSERT INTO workflow.trips (trip_id, route, last_activity_at, created_at, due_at)
                SELECT gen_random_uuid(), jsonb_build_array(jsonb_build_object('date', now()::date + 9)),
                    now() - interval '31 days',
                    now() - interval '31 days', 'infinity' RETURNING trip_id
            )
            INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id) SELECT 'ann', 'flying', trip_id FROM trips
            """
        )
        for kind in TWICE:
            await plant(self._owner, kind, old=DAYS + 1, new=DAYS - 1)

    async def count(self, table: str, where: str = "true") -> int:
        number: int = await self._owner.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608
        return number

    async def sessions(self) -> int:
        return await self.count("chat.sessions", "deleted_at IS NULL")

    async def left(self) -> dict[str, int]:
        counts = {kind.name: await self.count(kind.table) for kind in ROWS}
        return {**counts, "sessions": await self.sessions(), "messages": await self.count("chat.messages")}

    async def until(self, table: str, where: str, number: int) -> None:
        async def is_so() -> bool:
            return await self.count(table, where) == number

        await until(is_so, f"{number} of {table}")


async def test_every_kind_goes_by_all_services_whoever_of_them_is_killed_and_nothing_by_default(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    stored = Stored(owner)
    await stored.plant()
    all_of_it = {"traces": 2600, "sessions": 122, "messages": 122, **dict.fromkeys(TWICE, 2)}

    async with running(settings, tmp_path, "gateway", "logger", "tagger", "workflow"):
        # Whatever sweeps in each of them has worked.
        await owner.execute("INSERT INTO gateway.deletions (user_id, session_id, event_id, correlation_id)"
            " VALUES ('bob', 'gone', gen_random_uuid(), gen_random_uuid())")  # fmt: skip
        await stored.until("gateway.deletions", "settled_at IS NOT NULL", 1)
        assert await stored.left() == all_of_it

    wanted = kept(settings, **dict.fromkeys(BY_NAME, DAYS))
    first, second = (
        [Process(name, wanted, tmp_path / f"{name}{at}.log") for name in ("gateway", "logger")] for at in (1, 2)
    )
    async with running(wanted, tmp_path, "tagger_2", "workflow_2"):
        try:
            await first[0].start()
            # What needs no other service goes; sessions wait for the logger.
            await stored.until("gateway.turns", "true", 1)
            await stored.until("workflow.deliveries", "true", 1)
            assert await stored.count("gateway.deletions") == 1
            await first[1].start()
            await until(lambda: owner.fetchval("SELECT count(*) < 2600 FROM chat.traces"), "the first portion")
            first[1].kill()
            assert await stored.count("chat.traces") > 100
            await second[1].start()
            await until(lambda: owner.fetchval("SELECT count(*) > 1 FROM gateway.deletions"), "the first sessions")
            first[0].kill()
            assert await stored.count("gateway.deletions") < 121
            await second[0].start()
            await stored.until("gateway.deletions", "settled_at IS NOT NULL", 121)
            await stored.until("chat.traces", "true", 100)
        finally:
            await asyncio.gather(*(process.stop() for process in (*first, *second)), return_exceptions=True)
    assert await stored.left() == {"traces": 100, "sessions": 2, "messages": 2, **dict.fromkeys(TWICE, 1)}
    rows = await owner.fetch("SELECT session_id FROM chat.messages ORDER BY 1")
    assert [row["session_id"] for row in rows] == ["flying", "young"]
    assert await owner.fetchval("SELECT min(trace_id) || max(trace_id) FROM chat.traces") == "t2500t2599"
    for kind in TWICE:
        assert await left(owner, kind) == [DAYS - 1]


def said(settings: Settings, *arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["retention", *arguments], env=environment(settings))
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def environment(settings: Settings) -> Mapping[str, str]:
    unset = {f"{kind.name}_kept_days".upper(): "" for kind in KINDS}
    return {**unset, **environment_of(settings)}


async def test_the_command_says_what_would_go_and_lets_nothing_go(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    await plant(owner, "traces", a=DAYS + 2, b=DAYS + 1, c=1)
    await plant(owner, "dead_letters", a=DAYS + 1, b=DAYS + 5)
    await owner.execute("UPDATE chat.dead_letters SET state = 'dropped', decided_by = 'ops', decided_at = received_at"
        " WHERE dedupe_key = 'a'")  # fmt: skip
    day = "to_char(now() AT TIME ZONE 'UTC' - $1 * interval '1 day', 'YYYY-MM-DD')"
    oldest = [await owner.fetchval(f"SELECT {day}", float(age)) for age in (DAYS + 2, DAYS + 5)]

    def lines(settings: Settings, *arguments: str) -> dict[str, list[str]]:
        return {line.split("  ")[0]: line.split() for line in said(settings, *arguments)}

    def run() -> tuple[dict[str, list[str]], dict[str, list[str]], list[str]]:
        wanted = kept(settings, traces=DAYS)
        return lines(wanted), lines(wanted, "--days", "1000"), said(wanted, "--days", str(DAYS))

    usual, with_days, said_of_all = await asyncio.to_thread(run)
    assert usual["traces"] == [
        "traces",
        "TRACES_KEPT_DAYS",
        str(DAYS),
        "days",
        "2",
        "0",
        oldest[0],
        usual["traces"][-1],
    ]
    assert usual["dead letters"][2:7] == ["DEAD_LETTERS_KEPT_DAYS", "for", "ever", "-", "-"]
    assert usual["dead letters"][7] == oldest[1]
    assert usual["reads"][-1] == "-"
    assert with_days["dead letters"][2:7] == ["DEAD_LETTERS_KEPT_DAYS", "1000", "days", "0", "0"]
    assert with_days["traces"] == usual["traces"]
    assert said_of_all[-1] == "1 of these dead letters would be lost: nothing else keeps them"
    assert await left(owner, "traces") == [DAYS + 2, DAYS + 1, 1]
    assert json.dumps(await left(owner, "dead_letters")) == json.dumps([DAYS + 5, DAYS + 1])
