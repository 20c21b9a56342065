"""Traces: searches among many against few, in turn; and how fast the logger takes those from outside."""

import argparse
import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import asyncpg

from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring
from shared.events import ReportedTrace, TracesReported
from shared.ids import new_id
from shared.settings import Settings
from tests.bench.logger import OURS
from tests.bench.measuring.budgets import SESSION_READS, TRACE_INGEST
from tests.bench.measuring.drain import PATIENCE_S, drain
from tests.bench.running.servers import private_servers, process
from tests.bench.sessions import on_database
from tests.bench.workload.load import fill
from tests.connected.gateway.stage import Stage, open_stage
from tests.servers import looking, run_sql
from tests.settings import with_database

FEW = 10_000
REQUESTS = 15  # of one case in one round, on each side
IN_SESSION = 10
LISTED = 100  # traces in one report

# Users: `few` has ten traces, `some` a tenth of all, `most` the others, whose oldest session has what is rare.
FILLING = """
    SET session_replication_role = replica;
    ALTER TABLE chat.traces SET (autovacuum_enabled = off);
    ALTER TABLE chat.sessions SET (autovacuum_enabled = off);
    ALTER TABLE tagging.session_tags SET (autovacuum_enabled = off);
    INSERT INTO tagging.models
    VALUES (gen_random_uuid(), 'openai', 'm', 'a1b2c3', true, now(), now(), gen_random_uuid());
    CREATE TEMPORARY TABLE made AS
    SELECT n, CASE WHEN n = 0 THEN 'few' WHEN n % 10 = 0 THEN 'some' ELSE 'most' END AS user_id, 's' || n AS session_id,
        now() - n * interval '1 minute' AS at, CASE n WHEN {sessions} - 1 THEN 'rare' ELSE 'usual' END AS which
    FROM generate_series(0, {sessions} - 1) AS n;
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, project_id)
    SELECT user_id, session_id, at, at, which FROM made;
    INSERT INTO chat.session_marks (user_id, session_id, kind, value, archived)
    SELECT user_id, session_id, 'project_id', which, false FROM made;
    INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
    SELECT user_id, session_id, model_id, n + 1, which || '_' || n, gen_random_uuid() FROM made, tagging.models;
    INSERT INTO chat.traces (user_id, trace_id, session_id, model, status, started_at, event_id, source, session_tag,
        w3c_trace_id, ttft_ms, duration_ms, input_tokens, output_tokens)
    SELECT user_id, 't' || n || '-' || k, session_id, which, CASE which WHEN 'rare' THEN 'error' ELSE 'ok' END,
        at + k * interval '1 second', gen_random_uuid(), 'turn', CASE WHEN which = 'rare' AND k = 1 THEN 'own_1' END,
        CASE WHEN which = 'rare' THEN repeat('a', 32) END, 100, 900, 400, 120
    FROM made, generate_series(1, {in_session}) AS k;
"""

LIST = "/api/analytics/traces"


def _since(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


CASES: Mapping[str, tuple[str, str, str, dict[str, Any]]] = {  # user, role, path and query
    "list": ("most", "user", LIST, {}),
    "list, user of a tenth": ("some", "user", LIST, {}),
    "list, user of ten": ("few", "user", LIST, {}),
    "list, of everybody": ("root", "admin", LIST, {}),
    "tag": ("most", "user", LIST, {"session_tag": "usual_77"}),
    "tag, by its beginning": ("most", "user", LIST, {"session_tag": "usual_7*"}),
    "tag, rarest beginning": ("most", "user", LIST, {"session_tag": "rare*"}),
    "tag that a trace brought": ("most", "user", LIST, {"session_tag": "own_1"}),
    "tag, of everybody": ("root", "admin", LIST, {"session_tag": "usual_77"}),
    "session": ("most", "user", LIST, {"session_id": "s77"}),
    "rarest model": ("most", "user", LIST, {"model": "rare"}),
    "usual model": ("most", "user", LIST, {"model": "usual"}),
    "errors": ("most", "user", LIST, {"status": "error"}),
    "W3C trace": ("most", "user", LIST, {"w3c_trace_id": "a" * 32}),
    # The newest 10,000 calls, which are all that the smaller one has.
    "models compared": ("root", "admin", "/api/analytics/models", {"from": _since(FEW // IN_SESSION)}),
    "one trace": ("most", "user", f"{LIST}/t77-1", {}),
}


@dataclass(frozen=True)
class Side:
    """A gateway in this process, on a database of so many traces."""

    settings: Settings
    stage: Stage

    async def p50_ms(self, user: str, role: str, path: str, query: dict[str, Any]) -> float:
        times = []
        for _ in range(REQUESTS):
            began = time.perf_counter()
            answer = await self.stage.get(path, user, role, **query)
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
            assert any(answer.json().get(name) for name in ("traces", "trace_id", "models")), (path, query)
        return median(times)


async def run(options: argparse.Namespace) -> None:
    """Print a line for each search, with fresh statistics, and one for what comes from outside."""
    with private_servers() as settings:
        async with open_connection(settings, "bench", Declaring().declare):
            pass  # no gateway runs here, which makes the queues
        await _ingest(settings, options)
        async with AsyncExitStack() as opened:
            sides = []
            for traces in (options.traces, FEW):
                own = await _filled(settings, traces)
                sides.append(Side(own, await opened.enter_async_context(open_stage(own))))
            await _measure(*sides, rounds=options.rounds, traces=options.traces)


async def _measure(many: Side, few: Side, *, rounds: int, traces: int) -> None:
    for name, case in CASES.items():
        ours, theirs = [], []
        for _ in range(rounds + 1):
            ours.append(await many.p50_ms(*case))
            theirs.append(await few.p50_ms(*case))
        SESSION_READS.report(ours[1:], theirs[1:], case=f"traces: {name}", traces=[traces, FEW])


async def _filled(settings: Settings, traces: int) -> Settings:
    name, template = f"traces_{traces}", settings.database_url.rsplit("/", 1)[1]
    async with looking(with_database(settings.database_url, "template1")) as server:
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    own = on_database(settings, name)
    async with looking(own.database_url) as owner:
        await owner.execute("TRUNCATE chat.sessions, chat.traces CASCADE")
        await owner.execute(FILLING.format(sessions=traces // IN_SESSION, in_session=IN_SESSION), timeout=1800)
    await run_sql(own.database_url, "ANALYZE")
    return own


async def _ingest(settings: Settings, options: argparse.Namespace) -> None:
    """Let the logger empty its queue of traces from outside, and of messages, in turn."""
    owner = await asyncpg.connect(settings.database_url)
    ours, theirs, singly = [], [], []
    for _ in range(options.rounds):
        ours.append(await _drain_traces(settings, owner, options.messages, LISTED))
        theirs.append((await drain(settings, owner, OURS, options.messages)).messages_per_s)
        singly.append(await _drain_traces(settings, owner, options.messages // 4, 1))
    await owner.close()
    TRACE_INGEST.report(ours, theirs, case=f"lists of {LISTED}")
    TRACE_INGEST.report(singly, theirs, case="each by itself")


async def _drain_traces(settings: Settings, owner: asyncpg.Connection, count: int, listed: int) -> float:
    """Return how many a second are stored, of the middle eight tenths, by the rows' own time stamps."""
    await owner.execute("TRUNCATE chat.sessions, chat.traces CASCADE")
    await fill(settings, [_report(listed) for _ in range(count // listed)])
    await owner.execute("CHECKPOINT")
    with process(OURS, settings) as child:
        async with asyncio.timeout(PATIENCE_S):
            while await owner.fetchval("SELECT count(*) FROM chat.traces") < count:
                assert child.running, f"{child.name} has ended"
                await asyncio.sleep(0.25)
    seconds = await owner.fetchval(
        """
        SELECT extract(epoch FROM at[2] - at[1])::float8 FROM (
            SELECT percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY stored_at) AS at FROM chat.traces) AS middle
        """
    )
    return float(0.8 * count / seconds)


def _report(listed: int) -> TracesReported:
    now = datetime.now(UTC)
    traces = [
        ReportedTrace(
            trace_id=str(new_id()),
            session_id="outside",
            session_tag="mine_001",
            provider="openai",
            model="gpt",
            status="ok",
            started_at=now,
            ttft_ms=120.0,
            duration_ms=900.0,
            input_tokens=400,
            output_tokens=120,
            usage_source="reported",
            finish_reason="stop",
        )
        for _ in range(listed)
    ]
    return TracesReported(user_id=f"user-{new_id().int % 50}", accepted_at=now, traces=tuple(traces))
