"""What one look finds in the tables, and by which indexes."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.gateway.live import looking as module
from services.gateway.live.changes import Source
from services.gateway.live.looking import ChangeQueries
from shared.database import open_pool
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.stage import Rows
from tests.servers import looking

WITHIN_S = 60.0
SESSIONS = 20_000
Found = set[tuple[str, str, Source, bool]]


@pytest.fixture
async def queries(read_settings: Settings) -> AsyncIterator[ChangeQueries]:
    async with open_pool(read_settings.admin_database_url, "test", 2) as pool:
        yield ChangeQueries(pool)


async def found(queries: ChangeQueries, *users: str) -> Found:
    _, rows = await queries.changed(users, WITHIN_S)
    assert all(-1 < row.age_s < WITHIN_S for row in rows)
    return {(row.place.user_id, row.place.session_id, row.place.source, row.is_deleted) for row in rows}


async def test_what_has_changed_lately_of_whoever_listens_is_found(queries: ChangeQueries, rows: Rows) -> None:
    now, long_ago = await rows.ages_ago(seconds=0), await rows.ages_ago(seconds=WITHIN_S + 1)
    for user in ("ann", "bob", "eve"):
        await rows.session("new", user=user, updated_at=now)
        await rows.session("old", user=user, updated_at=long_ago)
    await rows.session("deleted", updated_at=now, deleted_at=now)
    assert await found(queries, "ann", "bob") == {
        ("ann", "new", Source.CHAT, False),
        ("bob", "new", Source.CHAT, False),
        ("ann", "deleted", Source.CHAT, True),
    }
    assert await found(queries, "nobody") == set()


async def test_a_new_tag_is_found(queries: ChangeQueries, rows: Rows) -> None:
    model = await rows.model("writer")
    await rows.tag("new", model, 1)
    await rows.tag("old", model, 2)
    await rows.tag("other", model, 1, user="bob")
    await rows.run("UPDATE tagging.session_tags SET tagged_at = now() - interval '1 hour' WHERE session_id = 'old'")
    assert await found(queries, "ann") == {("ann", "new", Source.TAGGING, False)}


async def test_what_became_of_a_trip_is_found_for_all_its_sessions(queries: ChangeQueries, rows: Rows) -> None:
    long_ago = await rows.ages_ago(hours=1)
    trip = await rows.trip("first", updated_at=await rows.ages_ago(seconds=1))
    await rows.tie("second", trip, "bob")
    await rows.trip("quiet", updated_at=long_ago)
    assert await found(queries, "ann", "bob") == {
        ("ann", "first", Source.WORKFLOW, False),
        ("bob", "second", Source.WORKFLOW, False),
    }


async def test_what_became_of_an_order_is_found_for_whoever_made_it(queries: ChangeQueries, rows: Rows) -> None:
    long_ago = await rows.ages_ago(hours=1)
    trip = await rows.trip("s1", updated_at=long_ago)
    order = {"trip_id": trip, "user_id": "ann", "segments": {}, "pax": 2, "state": "refused"}
    for session_id, at in {"ordered": await rows.ages_ago(seconds=1), "before": long_ago}.items():
        ids = {"request_id": new_id(), "promised_trip_id": new_id(), "event_id": new_id()}
        await rows.insert("workflow.requests", session_id=session_id, updated_at=at, **ids, **order)
    assert await found(queries, "ann", "bob") == {("ann", "ordered", Source.WORKFLOW, False)}


async def test_more_than_one_look_reads_is_cut_off(
    queries: ChangeQueries, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_FOUND", 2)
    for number in range(5):
        await rows.session(f"s{number}", updated_at=await rows.ages_ago(seconds=1))
    assert len((await queries.changed(["ann"], WITHIN_S))[1]) == 3


@pytest.mark.parametrize("is_analyzed", [False, True])
async def test_a_look_goes_by_the_indexes_on_time_and_reads_no_table_whole(
    settings: Settings, owner: asyncpg.Connection, is_analyzed: bool
) -> None:
    await owner.execute(
        """
        INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, updated_at)
        SELECT 'u' || number % 10, 's' || number, now(), now(), now() - interval '1 day'
        FROM generate_series(1, $1::int) AS number
        """,
        SESSIONS,
    )
    await owner.execute("SELECT brin_summarize_new_values('chat.sessions_by_change')")
    if is_analyzed:
        await owner.execute("ANALYZE")
    await owner.execute("UPDATE chat.sessions SET updated_at = clock_timestamp() WHERE session_id = 's77'")
    async with looking(settings.admin_database_url) as admin, admin.transaction():
        await admin.execute(module.PLANNED)
        explained = await admin.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {module._CHANGED}", ["u7"], 25.0, 5001)
    plan = "\n".join(line for (line,) in explained)
    assert "Seq Scan" not in plan
    for index in ("sessions_by_change", "session_tags_by_change", "trips_by_change", "requests_by_change"):
        assert f"Bitmap Index Scan on {index}" in plan
    others = [int(count) for count in re.findall(r"Rows Removed by Index Recheck: (\d+)", plan)]
    assert sum(others) < SESSIONS / 10
