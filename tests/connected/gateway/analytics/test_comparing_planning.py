"""A comparison reads the calls of its time, and what belongs to them, however many there are besides."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.gateway.analytics.comparing.answers import LEAST_SESSIONS
from services.gateway.analytics.comparing.statements import ARMS, PAIRS, Which, arguments, sessions_of
from shared.database import open_pool, reading
from shared.settings import Settings
from tests.connected.gateway.sessions.test_planning import nodes_of, rows_read
from tests.connected.gateway.stage import own_database
from tests.pure.gateway.samples import minutes
from tests.servers import Servers, looking

CALLS, COMPARED = 100_000, 1_000
MOST_ROWS = 6 * COMPARED  # a call, its message, thumb, session and tag; and what an index held besides
GENERATED = """
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at)
    SELECT 'user ' || n % 100, 's' || n / 100, now(), now() FROM generate_series(0, {calls} / 10 - 1) AS n;
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parent_id, event_id, created_at)
    SELECT 'user ' || n % 100, 's' || n / 1000, 'm' || n, 'assistant', '', 'q' || n, gen_random_uuid(), at
    FROM generate_series(0, {calls} - 1) AS n,
        LATERAL (SELECT '{start}'::timestamptz + n * interval '1 second' AS at) AS made;
    INSERT INTO chat.traces (user_id, trace_id, session_id, message_id, model, provider, status, started_at, event_id)
    SELECT user_id, message_id, session_id, message_id, 'small', 'openai', 'ok', created_at, event_id FROM chat.messages
"""


@pytest.fixture(scope="module")
async def many(servers: Servers, template: str) -> AsyncIterator[Settings]:
    async with own_database(servers, template) as settings, looking(settings.database_url) as owner:
        await owner.execute(GENERATED.format(calls=CALLS, start=minutes(0).isoformat()))
        await owner.execute("ANALYZE")
        yield settings


def reading_as(settings: Settings, user_ids: tuple[str, ...] | None) -> tuple[str, tuple[str, ...]]:
    if user_ids is None:
        return settings.admin_database_url, ()
    return settings.reader_database_url, user_ids


@pytest.mark.parametrize("user_ids", [None, ("user 1", "user 2")], ids=["everybody", "two owners"])
@pytest.mark.parametrize("statement", [ARMS, PAIRS], ids=["arms", "pairs"])
async def test_only_what_is_compared_is_read(many: Settings, user_ids: tuple[str, ...] | None, statement: str) -> None:
    seconds = COMPARED if user_ids is None else CALLS // 2
    start = minutes(0) + timedelta(seconds=CALLS // 3)
    which = Which(start, start + timedelta(seconds=seconds), "experiment", user_ids=user_ids)
    url, owners = reading_as(many, user_ids)
    more = [LEAST_SESSIONS] if statement is PAIRS else []
    async with open_pool(url, "test", 1) as pool, reading(pool, *owners) as db:
        (plan,) = await db.fetch(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {sessions_of(which, as_admin=user_ids is None)} {statement}",
            *arguments(which),
            *more,
        )

    nodes = list(nodes_of([json.loads(plan[0])[0]["Plan"]]))
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}
    assert rows_read(nodes) <= MOST_ROWS
