"""No search for traces reads more than it shows and looks through, however many there are and however rare it is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.analytics.traces.filters import TraceFilter, Whose
from services.gateway.analytics.traces.keys import LOOKED_THROUGH, PLANNED_BY_VALUES, RARE, Key, trace_keys
from services.gateway.analytics.traces.queries import _ROWS, _SEEN
from services.gateway.analytics.traces.turns import ended_traces, running_traces
from shared.database import open_pool, reading
from shared.settings import Settings
from tests.connected.gateway.sessions.test_planning import Explained
from tests.connected.gateway.stage import own_database
from tests.servers import Servers, looking

TRACES = 50_000
LIMIT = 51
OLDEST = TRACES - 1000  # where what is rare stands, far from the newest
GENERATED = """
    INSERT INTO tagging.models
    VALUES (gen_random_uuid(), 'openai', 'm', 'a1b2c3', true, now(), now(), gen_random_uuid());
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, project_id)
    SELECT 'ann', 's' || n, now(), now(), CASE n WHEN {oldest} / 10 THEN 'rare' ELSE 'common' END
    FROM generate_series(0, {traces} / 10) AS n;
    INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
    SELECT 'ann', 's' || n, model_id, n + 1, CASE n WHEN {oldest} / 10 THEN 'rare_1' ELSE 'tag_' || n END,
        gen_random_uuid()
    FROM generate_series(0, {traces} / 10) AS n, tagging.models;
    INSERT INTO chat.traces (user_id, trace_id, session_id, model, status, started_at, event_id, session_tag,
        w3c_trace_id)
    SELECT owner, 't' || n, 's' || n / 10, CASE n WHEN {oldest} THEN 'rare' ELSE 'common' END,
        CASE n WHEN {oldest} THEN 'error' WHEN {oldest} + 1 THEN 'running' ELSE 'ok' END,
        now() - n * interval '1 second', gen_random_uuid(),
        CASE n WHEN {oldest} + 2 THEN 'own_1' END, CASE n WHEN {oldest} + 3 THEN repeat('a', 32) END
    FROM generate_series(1, {traces}) AS n, unnest('{{ann,bob}}'::text[]) AS owner
"""
# What is asked for, how many are found, and how much is looked through for it.
QUERIES: list[tuple[dict[str, Any], int, int]] = [
    ({}, LIMIT, 0),
    ({"status": "ok"}, LIMIT, 0),
    ({"status": "error"}, 1, 0),
    ({"status": "stopped"}, 0, 0),
    ({"model": "rare"}, 1, 0),
    ({"model": "common"}, LIMIT, 0),
    ({"model": "nothing"}, 0, 0),
    ({"session_id": "s77"}, 10, 0),
    ({"session_id": "nothing"}, 0, 0),
    ({"w3c_trace_id": "a" * 32}, 1, 1),
    ({"session_tag": "rare_1"}, 9, 20),
    ({"session_tag": "nothing"}, 0, 0),
    ({"session_tag": "own_1"}, 1, 5),
    # Of each that is looked through the session's tag or its project, and then those of the few.
    ({"session_tag": "rare*"}, 9, 3 * LOOKED_THROUGH),
    ({"session_tag": "own*"}, 1, 3 * LOOKED_THROUGH),
    ({"session_tag": "nothing*"}, 0, 3 * LOOKED_THROUGH),
    ({"session_tag": "tag*"}, LIMIT, 3 * LOOKED_THROUGH),
    ({"projects": ("rare",)}, 9, 3 * LOOKED_THROUGH + 20),
    ({"projects": ("common",)}, LIMIT, 3 * LOOKED_THROUGH),
    ({"projects": ()}, 0, 3 * LOOKED_THROUGH),
]
OF_ALL = [({}, LIMIT, 0), ({"session_tag": "rare_1"}, 9, 30), ({"w3c_trace_id": "a" * 32}, 2, 2)]

TURNS = """
    INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
        model, provider, question, asked_at, answer, answered_at, stored_at)
    SELECT gen_random_uuid(), CASE n WHEN 2 THEN 'bob' ELSE 'ann' END, 's' || n, '', '', 'complete', now(),
        gen_random_uuid(), 'm', 'openai', '{"message_id": "q", "content": ""}', now() - n * interval '1 second',
        jsonb_build_object('trace', jsonb_build_object('trace_id', 't' || n, 'model', 'm', 'provider', 'openai',
            'status', 'ok', 'started_at', '2030-01-01T00:00:00Z')), now(), CASE WHEN n > 2 THEN now() END
    FROM generate_series(1, 20000) AS n
"""


@pytest.fixture(scope="module")
async def many(servers: Servers, template: str) -> AsyncIterator[Settings]:
    async with own_database(servers, template) as settings, looking(settings.database_url) as owner:
        for table in ("chat.traces", "chat.sessions", "tagging.session_tags"):
            await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        await owner.execute(GENERATED.format(traces=TRACES, oldest=OLDEST))
        yield settings


async def explained(
    settings: Settings, query: dict[str, Any], *, everybody: bool, running: bool = False
) -> tuple[Explained, list[Key]]:
    url = settings.admin_database_url if everybody else settings.reader_database_url
    users = () if everybody else ("ann",)
    async with open_pool(url, "test", 1) as pool, reading(pool, *users, first=PLANNED_BY_VALUES) as db:
        cost = Explained(db)
        wanted, whose = TraceFilter(**query), Whose(users, everybody=everybody, as_admin=everybody)
        keys = await trace_keys(cost, whose, wanted, LIMIT, None, running=running)  # type: ignore[arg-type]
        return cost, keys


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_no_page_reads_more_than_it_shows_and_looks_through(many: Settings, is_analyzed: bool) -> None:
    if is_analyzed:
        async with looking(many.database_url) as owner:
            await owner.execute("ANALYZE")
    queries = [(*query, False) for query in QUERIES] + [(*query, True) for query in OF_ALL]
    for query, found, looked_through, everybody in queries:
        cost, keys = await explained(many, query, everybody=everybody)
        assert "Seq Scan" not in {node["Node Type"] for node in cost.nodes()}, query
        # Which of the indexes is a filter's the planner cannot know without statistics; but it reads no table.
        most = 2 * LIMIT + looked_through if is_analyzed or not query else 2 * TRACES
        assert cost.rows_read() <= most, (query, cost.rows_read(), cost.plans)
        assert len(keys) == found, query


async def test_the_few_that_run_are_found_among_all(many: Settings) -> None:
    async with looking(many.database_url) as owner:
        await owner.execute("ANALYZE")
    for everybody, found in ((False, 1), (True, 2)):
        cost, keys = await explained(many, {}, everybody=everybody, running=True)
        assert (cost.rows_read(), len(keys)) == (found, found), cost.plans


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_the_few_turns_that_are_not_stored_are_found_among_all(
    servers: Servers, template: str, is_analyzed: bool
) -> None:
    async with own_database(servers, template) as settings, looking(settings.database_url) as owner:
        await owner.execute("ALTER TABLE gateway.turns SET (autovacuum_enabled = off)")
        await owner.execute(TURNS)
        if is_analyzed:
            await owner.execute("ANALYZE")
        for url, users in ((settings.reader_database_url, ("ann",)), (settings.admin_database_url, ())):
            async with open_pool(url, "test", 1) as pool, reading(pool, *users, first=PLANNED_BY_VALUES) as db:
                cost = Explained(db)
                whose = Whose(users, everybody=not users, as_admin=not users)
                found = await ended_traces(cost, whose, TraceFilter())  # type: ignore[arg-type]
            assert {trace.trace_id for trace, _ in found} == ({"t1"} if users else {"t1", "t2"})
            assert cost.rows_read() <= 4, cost.plans


async def test_what_is_shown_of_a_page_is_read_by_keys(many: Settings) -> None:
    ids = [f"t{number}" for number in range(1, LIMIT + 1)]
    async with (
        open_pool(many.reader_database_url, "test", 1) as pool,
        reading(pool, "ann", first=PLANNED_BY_VALUES) as db,
    ):
        cost = Explained(db)
        assert len(await cost.fetch(_ROWS, ["ann"] * LIMIT, ids)) == LIMIT
        assert len(await cost.fetch(_SEEN, ["ann", "eve"], "t1", None, False)) == 1
        assert await running_traces(cost, Whose(["ann"]), TraceFilter()) == []  # type: ignore[arg-type]
    read = [node for node in cost.nodes() if node.get("Relation Name") in ("traces", "sessions", "session_tags")]
    assert {node["Node Type"] for node in read} <= {"Index Scan", "Index Only Scan"}
    assert cost.rows_read() <= 5 * LIMIT, cost.plans


def test_what_is_rare_is_far_from_the_newest() -> None:
    assert OLDEST > 10 * LOOKED_THROUGH > RARE
