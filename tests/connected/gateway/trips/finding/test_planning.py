"""No list of trips and no number reads a table whole, however many trips and sessions there are."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from services.gateway.trips.finding.everybodys import BY_INDEX, COUNTED, FEW, FEW_OVER, keys_of_all
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.page_keys import keys_of_users
from services.gateway.trips.finding.without_trip import _counts, stored_keys
from services.gateway.trips.queries import _rows
from shared.database import open_pool, reading
from shared.settings import Settings
from tests.connected.gateway.sessions.test_planning import Explained
from tests.connected.gateway.stage import own_database
from tests.servers import Servers, looking

LIMIT = 51
USERS, SESSIONS, TRIPS = 100, 100_000, 20_000  # each fifth session has a trip
OWN = SESSIONS // USERS
GENERATED = f"""
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, last_message_at, message_count)
    SELECT 'u' || n % {USERS}, 's' || n, at, at, at, 1
    FROM generate_series(1, {SESSIONS}) AS n, LATERAL (SELECT now() - n * interval '1 second' AS at) AS made;
    INSERT INTO workflow.trips (trip_id, avinode_trip_id, avinode_rfp_id, step, closed_at, outcome, last_activity_at)
    SELECT gen_random_uuid(), 'atrip-' || n, 'rfp-' || n,
        CASE WHEN n % 1000 = 0 THEN 'proposal_ready' ELSE 'searching_aircraft' END,
        CASE WHEN n % 10 > 0 THEN now() - n * interval '10 minutes' END, CASE WHEN n % 10 > 0 THEN 'completed' END,
        now() - n * interval '5 seconds'
    FROM generate_series(1, {TRIPS}) AS n;
    INSERT INTO workflow.trip_sessions (user_id, session_id, trip_id, request_id, started_at)
    SELECT 'u' || n * 5 % {USERS}, 's' || n * 5, trip_id, trip_id, now() - n * interval '5 seconds'
    FROM (SELECT trip_id, substr(avinode_trip_id, 7)::int AS n FROM workflow.trips) numbered;
    INSERT INTO workflow.rfqs (rfq_id, trip_id, fetched_at)
    SELECT 'arfq-' || substr(avinode_trip_id, 7), trip_id, now() FROM workflow.trips;
    INSERT INTO workflow.quotes (quote_id, rfq_id, trip_id, estimate, price_cents, currency, fetched_at)
    SELECT 'aquote-' || substr(rfq_id, 6), rfq_id, trip_id, false, 1, 'EUR', now() FROM workflow.rfqs
"""  # noqa: S608 - constants
QUERIES: list[dict[str, Any]] = [
    {},
    {"status": "active"},
    {"status": "completed"},
    {"status": "archived"},
    {"step": "proposal_ready"},
    {"step": "searching_aircraft", "status": "paused"},
    {"with_quote": True},
    {"with_quote": False, "step": "proposal_ready"},
    {"avinode_trip_id": "atrip-500"},
    {"avinode_rfp_id": "rfp-500"},
    {"avinode_rfq_id": "arfq-500"},
    {"quote_id": "aquote-500"},
    {"session_id": "s2500"},
    {"request_id": UUID(int=1)},
]
BY_ID = ("avinode_trip_id", "avinode_rfp_id", "avinode_rfq_id", "quote_id", "session_id", "request_id")


@pytest.fixture(scope="module")
async def many(servers: Servers, template: str) -> AsyncIterator[Settings]:
    async with own_database(servers, template) as settings, looking(settings.database_url) as owner:
        await owner.execute(GENERATED)
        yield settings


@pytest.fixture(params=["not analyzed", "analyzed"])
async def tables(many: Settings, request: pytest.FixtureRequest) -> Settings:
    """The same tables, whether or not the planner knows of what size they are."""
    if request.param == "analyzed":
        async with looking(many.database_url) as owner:
            await owner.execute("ANALYZE")
    return many


def whole_tables(cost: Explained) -> list[str]:
    read = [node["Relation Name"] for node in cost.nodes() if node["Node Type"] == "Seq Scan"]
    return [name for name in read if name != "avinode_status"]  # which has one row


async def test_a_users_pages_and_numbers_read_what_is_theirs(tables: Settings) -> None:
    async with open_pool(tables.reader_database_url, "test", 1) as pool, reading(pool, "u0") as db:
        for query in QUERIES:
            cost: Any = Explained(db)
            keys = await keys_of_users(cost, ["u0"], TripFilter(**query), LIMIT, None, spoken=())
            assert keys or query.keys() & {"request_id", "status"} or query.get("with_quote") is False, query
            assert whole_tables(cost) == [], query
            # u0 has trips in all of these sessions, each with its tie, quote and RFQ, and what a policy reads.
            assert cost.rows_read() <= 8 * OWN, (query, cost.plans)


async def test_a_users_sessions_without_a_trip_are_read_as_far_as_they_are_shown(tables: Settings) -> None:
    async with (
        open_pool(tables.reader_database_url, "test", 1) as pool,
        reading(pool, "u1", first=PLANNED_BY_VALUES) as db,
    ):
        for status in (None, "active", "paused"):
            cost: Any = Explained(db)
            wanted = TripFilter(status=status, sessions=True)
            keys = await stored_keys(cost, ["u1"], wanted, LIMIT, None)
            assert len(keys) == (18 if status == "active" else LIMIT)
            assert whole_tables(cost) == []
            assert cost.rows_read() <= 2 * LIMIT, cost.plans
        cost = Explained(db)
        counts = await _counts(cost, ["u1"], TripFilter(), 10 * OWN, without=())
        assert sum(counts.values()) == OWN


@pytest.mark.parametrize("query", QUERIES, ids=str)
async def test_everybodys_pages_read_no_table_whole(tables: Settings, query: dict[str, Any]) -> None:
    async with open_pool(tables.admin_database_url, "test", 1) as pool, reading(pool, first=BY_INDEX) as db:
        cost: Any = Explained(db)
        keys = await keys_of_all(cost, TripFilter(**query), LIMIT, None)
        assert whole_tables(cost) == []
        candidates = FEW_OVER if query.get("status") in ("completed", "archived") else FEW
        most = 20 if query.keys() & set(BY_ID) else 6 * candidates
        assert cost.rows_read() <= most, cost.plans
        shown: Any = Explained(db)
        assert len(await _rows(shown, keys)) == len(keys)
        assert whole_tables(shown) == []
        assert shown.rows_read() <= 10 * LIMIT, shown.plans


async def test_everybodys_sessions_are_walked_as_far_as_they_are_shown(tables: Settings) -> None:
    async with open_pool(tables.admin_database_url, "test", 1) as pool, reading(pool, first=BY_INDEX) as db:
        before: tuple[Any, str] | None = None
        for _ in range(2):
            cost: Any = Explained(db)
            keys: Sequence[tuple[str, str]] = await stored_keys(cost, [], TripFilter(sessions=True), LIMIT, before)
            assert len(keys) == LIMIT
            assert whole_tables(cost) == []
            assert cost.rows_read() <= 3 * LIMIT, cost.plans
            at = await db.fetchval(
                "SELECT last_activity_at FROM chat.sessions WHERE (user_id, session_id) = ($1, $2)", *keys[-1]
            )
            before = at, f"/{keys[-1][1]}/{keys[-1][0]}"


async def test_everybodys_numbers_read_no_table_whole(tables: Settings) -> None:
    async with open_pool(tables.admin_database_url, "test", 1) as pool, reading(pool, first=BY_INDEX) as db:
        cost: Any = Explained(db)
        rows = await cost.fetch(COUNTED, TRIPS)
        assert sum(row["number"] for row in rows) == TRIPS
        assert whole_tables(cost) == []
