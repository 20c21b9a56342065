"""No list of everybody's reads more than it may look through, however much there is."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.admin.conversations.message_queries import MessageFilter, places_of
from services.gateway.admin.conversations.session_queries import RARE, EverybodysFilter, places_of_all
from services.gateway.admin.dead_letters.queries import LetterFilter, letters_of
from services.gateway.admin.looking import LOOKED_THROUGH, SEARCHED
from services.gateway.admin.users.queries import KNOWN, newest_of_users
from services.gateway.admin.users.refused_users import refused_most
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES
from shared.database import open_pool, reading
from shared.search_words import OWNER_KEY_LENGTH, search_of
from shared.settings import Settings
from tests.connected.gateway.sessions.test_planning import Explained
from tests.connected.gateway.stage import own_database
from tests.servers import Servers, looking

LIMIT = 51
# Each session has two messages; every hundredth user's are `u0`'s.
USERS, SESSIONS = 100, 20_000
GENERATED = f"""
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, message_count, model, archived)
    SELECT 'u' || n % {USERS}, 's' || n, at, at, 2, 'm' || n % 1000, n % 7 = 0
    FROM generate_series(1, {SESSIONS}) AS n, LATERAL (SELECT now() - n * interval '1 second' AS at) AS made;
    INSERT INTO tagging.models
    VALUES (gen_random_uuid(), 'openai', 'm', 'a1b2c3', true, now(), now(), gen_random_uuid());
    INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
    SELECT 'u' || n % {USERS}, 's' || n, model_id, n, CASE WHEN n < 10000 THEN 'common' ELSE 'tag_' || n END,
        gen_random_uuid()
    FROM generate_series(1, {SESSIONS}) AS n, tagging.models;
    INSERT INTO chat.messages (user_id, session_id, message_id, role, content, model, event_id, created_at, stored_at)
    SELECT 'u' || n / 2 % {USERS}, 's' || n / 2, 'm' || n, 'user', 'hello', 'm' || n % 1000, gen_random_uuid(), at, at
    FROM generate_series(2, 2 * {SESSIONS}) AS n, LATERAL (SELECT now() - n * interval '1 second' AS at) AS made;
    INSERT INTO chat.search (user_id, session_id, message_id, version, since, terms)
    SELECT user_id, session_id, message_id, event_id, created_at,
        array_to_tsvector(ARRAY[key || 'common', key || 'own' || substr(message_id, 2)])
    FROM chat.messages,
        LATERAL (SELECT left(encode(tripthread.user_hash(user_id), 'hex'), {OWNER_KEY_LENGTH}) AS key) AS own;
    INSERT INTO gateway.usage (user_id, day, turns, refused)
    SELECT 'u' || n, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1, CASE WHEN n % 10 = 0 THEN n ELSE 0 END
    FROM generate_series(1, {SESSIONS}) AS n;
    INSERT INTO chat.dead_letters
        (dead_letter_id, queue, dedupe_key, body, reason, error, state, decided_by, received_at)
    SELECT gen_random_uuid(), 'logger.chat', n::text, '', CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'common' END, '',
        CASE WHEN n % 1000 = 1 THEN 'parked' ELSE 'dropped' END, CASE WHEN n % 1000 <> 1 THEN 'root' END,
        now() - n * interval '1 second'
    FROM generate_series(1, {SESSIONS}) AS n
"""  # noqa: S608 - constants
OF_ONE = 2 * SESSIONS // USERS  # messages

SESSION_QUERIES: list[
    tuple[dict[str, Any], int, int]
] = [  # what is asked for, how many are found, and rows that are read
    ({}, LIMIT, 2 * LIMIT),
    ({"model": "m7"}, 2, 2 * LOOKED_THROUGH),
    ({"tag": "tag_15000"}, 1, 4),
    ({"tag": "common"}, LIMIT, 3 * LOOKED_THROUGH),
]
MESSAGE_QUERIES: list[tuple[dict[str, Any], int, int]] = [
    ({}, LIMIT, 2 * LIMIT),
    ({"role": "assistant"}, 0, 2 * LOOKED_THROUGH),
    ({"model": "m7"}, 2, 2 * LOOKED_THROUGH),
    ({"tag": "common"}, LIMIT, 3 * LOOKED_THROUGH + RARE),
    ({"tag": "tag_15000"}, 2, 16),
    ({"tag": "common", "user": "u7"}, LIMIT, 16 * OF_ONE),
    ({"search": search_of("common")}, LIMIT, 3 * SEARCHED),
    ({"search": search_of("own39999")}, 0, 3 * SEARCHED),
    ({"user": "u7"}, LIMIT, 2 * LIMIT),
    ({"user": "u7", "search": search_of("common")}, LIMIT, 3 * OF_ONE),
    ({"user": "u7", "session_id": "s107"}, 2, 4),
    ({"user": "u7", "session_id": "s107", "search": search_of("own214")}, 1, 8),
]


@pytest.fixture(scope="module")
async def many(servers: Servers, template: str) -> AsyncIterator[Settings]:
    async with own_database(servers, template) as settings, looking(settings.database_url) as owner:
        await owner.execute(GENERATED)
        yield settings


@pytest.fixture(params=["not analyzed", "analyzed"])
async def cost(many: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """A connection of the administrators' role, which tells what each statement costs."""
    if request.param == "analyzed":
        async with looking(many.database_url) as owner:
            await owner.execute("ANALYZE")
    async with (
        open_pool(many.admin_database_url, "test", 1) as pool,
        reading(pool, first=PLANNED_BY_VALUES) as db,
    ):
        yield Explained(db)


def check(cost: Explained, most: int, about: object) -> None:
    read = {node["Relation Name"] for node in cost.nodes() if node["Node Type"] == "Seq Scan"}
    assert read <= {"deletions", "erasures"}, (about, "which are empty", cost.plans)
    assert cost.rows_read() <= most, (about, cost.rows_read(), cost.plans)
    cost.plans.clear()


async def test_sessions_of_all(cost: Any) -> None:
    for query, found, most in SESSION_QUERIES:
        places, _ = await places_of_all(cost, EverybodysFilter(**query), LIMIT, None)
        assert len(places) == found, query
        check(cost, most, query)


async def test_messages_of_all_of_one_user_and_of_one_session(cost: Any) -> None:
    for query, found, most in MESSAGE_QUERIES:
        places, _ = await places_of(cost, MessageFilter(**query), LIMIT, None)
        assert len(places) == found, query
        check(cost, most, query)


async def test_a_page_far_back_is_read_from_its_place_on(cost: Any) -> None:
    first, _ = await places_of_all(cost, EverybodysFilter(), SESSIONS - 10, None)
    cost.plans.clear()
    assert len((await places_of_all(cost, EverybodysFilter(), LIMIT, first[-1]))[0]) == 10
    check(cost, 2 * LIMIT, "sessions")
    for user in (None, "u7"):
        first, _ = await places_of(cost, MessageFilter(user=user), 2 * SESSIONS, None)
        cost.plans.clear()
        assert len((await places_of(cost, MessageFilter(user=user), LIMIT, first[-11]))[0]) == 10
        check(cost, 2 * LIMIT, user)


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({}, LIMIT),
        ({"reason": "rare"}, 20),
        ({"state": "parked"}, 20),
        ({"reason": "rare", "state": "parked"}, 0),
        ({"user": "nobody"}, 0),
        ({"since": datetime(2100, 1, 1, tzinfo=UTC)}, 0),
    ],
)
async def test_dead_letters_of_a_rare_kind(cost: Any, which: dict[str, Any], found: int) -> None:
    assert len(await letters_of(cost, LetterFilter(**which), LIMIT, None)) == found
    check(cost, 2 * LIMIT, which)


async def test_the_refused_of_a_day(cost: Any) -> None:
    assert len(await refused_most(cost, LIMIT, None)) == LIMIT
    check(cost, 2 * LIMIT, "refused")


async def test_users_and_what_is_known_of_them(cost: Any) -> None:
    placed, reached = await newest_of_users(cost, LIMIT, None, None, None)
    assert (len(placed), reached is not None) == (LIMIT, True)
    check(cost, LOOKED_THROUGH + 8 * USERS, "users")
    assert len(await cost.fetch(KNOWN, [row["user_id"] for _, row in placed])) == LIMIT
    check(cost, 2 * LIMIT, "what is known")
