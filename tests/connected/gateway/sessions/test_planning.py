"""No list of sessions reads more than it shows, however many somebody has and however rare what is asked for."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import pytest

from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.finding.folders import MOST_COUNTED, FolderQueries
from services.gateway.sessions.finding.page_keys import PLANNED_BY_VALUES, RARE, page_keys
from services.gateway.sessions.finding.searching import MOST_TEXTS
from services.gateway.sessions.messages.queries import IN_ORDER, SAID
from services.gateway.sessions.openings import LISTED_OPENINGS
from services.gateway.sessions.queries import _facts, _unstored
from shared.database import open_pool, reading
from shared.ids import user_hash
from shared.search_words import OWNER_KEY_LENGTH, search_of
from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.pure.gateway.samples import glimpse, turn
from tests.servers import Servers, looking

SESSIONS = 100_000
LIMIT = 51
# What a walk may read: an entry more than it shows for each kind of session, and each owner.
MOST_ROWS = 2 * LIMIT
BLOCKS_OF_A_ROW = 8  # that its index is as high, its own, and those that hold what others may see of it
GENERATED = """
    INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, message_count, helper, project_id,
        model, folder, labels, pinned, archived)
    SELECT 'ann', 's' || n, at, at, 1, which, which, which, which,
        CASE WHEN which = 'rare' THEN '{{common,rare}}'::text[] WHEN n % 250 = 0 THEN '{{common,some}}'
            ELSE '{{common}}' END, n = {rare}, n = {rare} + 1
    FROM generate_series(1, {count}) AS n,
        LATERAL (SELECT now() - n * interval '1 second' AS at,
            CASE n WHEN {rare} - 1 THEN 'rare' ELSE 'common' END AS which) AS made;
    INSERT INTO tagging.models
    VALUES (gen_random_uuid(), 'openai', 'm', 'a1b2c3', true, now(), now(), gen_random_uuid());
    INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
    SELECT 'ann', 's' || n, model_id, n, 'tag_' || n, gen_random_uuid()
    FROM generate_series(1, {count}) AS n, tagging.models;
    INSERT INTO chat.search (user_id, session_id, version, since, terms)
    SELECT 'ann', 's' || n, gen_random_uuid(), now(),
        array_to_tsvector(ARRAY['{key}common', '{key}w' || n % 1000, '{key}own' || n])
    FROM generate_series(1, {count}) AS n;
    INSERT INTO chat.search (user_id, session_id, version, since, terms)
    SELECT 'bob', 's' || n, gen_random_uuid(), now(), array_to_tsvector(ARRAY['{bobs}common', '{bobs}own'])
    FROM generate_series(1, {count}) AS n
"""
NAMES = ("helper", "project_id", "model", "folder")
# What is asked for, how many are found, and how many marks are looked at, with the rows that are sorted.
QUERIES: list[tuple[dict[str, Any], int, int]] = [
    ({}, LIMIT, 0),
    ({"pinned": True}, 1, 0),
    ({"pinned": False}, LIMIT, 0),
    ({"archived": True}, 1, 0),
    *(({name: "rare"}, 1, 2) for name in NAMES),
    *(({name: "common"}, LIMIT, RARE + 1) for name in NAMES),
    ({"helper": "nothing"}, 0, 0),
    ({"projects": ("rare", "nothing")}, 1, 2),
    ({"projects": ("common", "rare")}, LIMIT, RARE + 2),
    ({"projects": ()}, 0, 0),
    ({"helper": "common", "folder": "rare"}, 0, RARE + 3),
    ({"label": ("rare",)}, 1, 2),
    ({"label": ("rare", "common")}, 1, RARE + 3),
    ({"label": ("nothing",)}, 0, 0),
    ({"label": ("common",)}, LIMIT, RARE + 1),
    ({"label": ("some",)}, LIMIT, 2 * RARE),
    ({"tag": "tag_50000"}, 1, 2),
]


@pytest.fixture(scope="module")
async def many(servers: Servers, template: str) -> AsyncIterator[Settings]:
    async with own_database(servers, template) as settings, looking(settings.database_url) as owner:
        for table in ("sessions", "search"):
            await owner.execute(f"ALTER TABLE chat.{table} SET (autovacuum_enabled = off)")
        keys = {"key": key_of("ann"), "bobs": key_of("bob")}
        await owner.execute(GENERATED.format(count=SESSIONS, rare=SESSIONS - 1000, **keys))
        yield settings


def key_of(user_id: str) -> str:
    return user_hash(user_id).hex()[:OWNER_KEY_LENGTH]


class Explained:
    """Stands for a connection, and keeps what each statement costs."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.plans: list[dict[str, Any]] = []

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        (plan,) = await self._db.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
        self.plans.append(json.loads(plan[0])[0]["Plan"])
        return await self._db.fetch(statement, *arguments)

    async def execute(self, statement: str) -> None:
        await self._db.execute(statement)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        return (await self.fetch(statement, *arguments))[0]

    def nodes(self) -> Iterator[dict[str, Any]]:
        return nodes_of(self.plans)

    def rows_read(self) -> int:
        return rows_read(self.nodes())

    def blocks_read(self) -> int:
        """Count the blocks that were looked at: of an index's entries that it throws away itself nothing else tells."""
        return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in self.plans)


def nodes_of(plans: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    waiting = list(plans)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("Plans", [])


def rows_read(nodes: Iterable[dict[str, Any]]) -> int:
    """Count the rows that were read of tables, those that a filter threw away among them, and those of marks."""
    read = (
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes
        if "Relation Name" in node
    )
    return int(sum(read))


async def explained(settings: Settings, query: dict[str, Any]) -> tuple[Explained, list[Any]]:
    async with (
        open_pool(settings.reader_database_url, "test", 1) as pool,
        reading(pool, "ann", first=PLANNED_BY_VALUES) as db,
    ):
        explained = Explained(db)
        keys = await page_keys(explained, ["ann"], SessionFilter(**query), LIMIT, None)  # type: ignore[arg-type]
        return explained, keys


async def test_pages_of_tables_that_nobody_has_analyzed_are_found_by_an_index(many: Settings) -> None:
    for query, found, marks in QUERIES:
        cost, keys = await explained(many, query)
        assert "Seq Scan" not in {node["Node Type"] for node in cost.nodes()}, query
        assert cost.rows_read() <= MOST_ROWS + marks, (query, cost.plans)
        assert cost.blocks_read() <= BLOCKS_OF_A_ROW * (MOST_ROWS + marks), (query, cost.plans)
        assert len(keys) == found, query


NEWEST = 70  # sessions, of which one has a word that one of a thousand has
SEARCHES: list[tuple[str, int, int]] = [  # what is typed, how many are found, and how many texts may be read for it
    ("own777", 111, 111),  # those that begin so
    ('"own777"', 1, 1),
    ("w77", 1100, 1100),
    ('common "own7"', 1, 1),
    ("common", MOST_TEXTS, MOST_TEXTS),
    ("com", MOST_TEXTS, MOST_TEXTS),
    ("nothing", 0, 0),
    ("common own77777", 1, NEWEST + 1),  # some of the newest tell that the whole word is common,
    ("w77 com", 100, NEWEST + 100),  # or rare, and then it is looked up, once
    ('w77 "common" own1077', 1, NEWEST + 100),
]
BY_BEGINNINGS = {"own777", "w77", "com", "common", "nothing", "common own77777"}  # which the index is asked for


async def searched(settings: Settings, typed: str, keys: Sequence[str] | None) -> tuple[int, list[dict[str, Any]]]:
    """Search as the reader does, in that session of the database of which the plans of nested statements are told."""
    search = search_of(typed)
    assert search is not None
    told: list[str] = []
    async with looking(settings.database_url) as db, db.transaction():
        await db.execute(
            """
            LOAD 'auto_explain';
            SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
            SET auto_explain.log_analyze = on; SET auto_explain.log_format = json;
            SET auto_explain.log_level = notice; SET client_min_messages = notice
            """
        )
        await db.execute(f"SELECT tripthread.read_as('{{ann}}'); {PLANNED_BY_VALUES}")
        db.add_log_listener(lambda _, message: told.append(message.message))
        if keys is None:
            call = "SELECT * FROM chat.search_everywhere($1, $2, $3, $4, $5)"
            newest = (["ann"] * NEWEST, [f"s{number}" for number in range(1, NEWEST + 1)])
            rows = await db.fetch(call, search.as_query(), search.whole_words(), *newest, MOST_TEXTS)
        else:
            call = "SELECT * FROM chat.search_sessions($1, $2, $3, 300, NULL)"
            rows = await db.fetch(call, search.as_query(), ["ann"] * len(keys), keys)
    plans = [json.loads(message[message.index("{") :])["Plan"] for message in told if message.startswith("duration")]
    nodes = list(nodes_of(plans))
    assert any(node.get("Relation Name") == "search" for node in nodes), "the function's statement is not told of"
    return len(rows), nodes


async def test_a_search_reads_the_index_of_one_user_s_words_and_no_table_whole(many: Settings) -> None:
    async with looking(many.database_url) as owner:
        for is_analyzed in (False, True):
            if is_analyzed:
                await owner.execute("ANALYZE chat.search")
            for typed, found, most_read in SEARCHES:
                count, nodes = await searched(many, typed, None)
                assert "Seq Scan" not in {node["Node Type"] for node in nodes}, typed
                indexes = {node["Index Name"] for node in nodes if "Index Name" in node}
                assert indexes <= {"search_by_terms", "search_user_id_session_id_message_id_key"}
                assert rows_read(nodes) <= most_read, (typed, nodes)
                assert count == found, typed
                asked = [node["Index Cond"] for node in nodes if node.get("Index Name") == "search_by_terms"]
                assert any(":*" in condition for condition in asked) == (typed in BY_BEGINNINGS), (typed, asked)


async def test_what_is_known_of_a_page_s_sessions_is_read_by_their_keys(many: Settings) -> None:
    keys = [("ann", f"s{number}") for number in range(500, 500 + LIMIT)]
    turns = [glimpse(turn(session_id, 1e7, user_id="ann")) for _, session_id in keys]
    async with looking(many.database_url) as owner, open_pool(many.reader_database_url, "test", 1) as pool:
        await owner.execute(
            """
            INSERT INTO gateway.session_openings (user_id, body_hash, session_id, event_id, accepted_at, opening)
            SELECT who, convert_to('h' || n, 'UTF8'), 's' || n, gen_random_uuid(), to_timestamp(later + n), '{}'
            FROM generate_series(1, 10000) AS n, (VALUES ('ann', 0), ('bob', 10000)) AS each (who, later)
            """
        )
        for is_analyzed in (False, True):
            if is_analyzed:
                await owner.execute("ANALYZE")
            async with reading(pool, "ann", first=PLANNED_BY_VALUES) as db:
                known, newer, opened = Explained(db), Explained(db), Explained(db)
                assert len(await _facts(known, keys)) == LIMIT  # type: ignore[arg-type]
                assert len(await _unstored(newer, turns)) == LIMIT  # type: ignore[arg-type]
                assert await _unstored(opened, (), ["ann"]) == {}  # type: ignore[arg-type]
            assert known.rows_read() <= 4 * LIMIT, known.plans  # with its tag, its model, and what hides it
            assert newer.rows_read() <= LIMIT, newer.plans
            assert opened.rows_read() <= 2 * LISTED_OPENINGS, opened.plans


async def test_of_a_long_session_the_messages_of_a_page_alone_are_read(many: Settings) -> None:
    async with looking(many.database_url) as owner:
        await owner.execute(
            """
            INSERT INTO chat.messages (user_id, session_id, message_id, role, content, event_id, created_at)
            SELECT 'ann', 's1', 'm' || n, 'user', 'hello', gen_random_uuid(), to_timestamp(n)
            FROM generate_series(1, 20000) AS n
            """
        )
        for is_analyzed in (False, True):
            if is_analyzed:
                await owner.execute("ANALYZE chat.messages")
            async with looking(many.reader_database_url) as reader, reader.transaction():
                await reader.execute(
                    f"SELECT tripthread.read_as('{{ann}}'); SET LOCAL plan_cache_mode = force_generic_plan; {IN_ORDER};"
                    f"PREPARE said (text, text, timestamptz, timestamptz, text[]) AS {SAID}"
                )
                ids = ", ".join(f"'m{number}'" for number in range(3001, 3051))
                page = f"'ann', 's1', to_timestamp(3001), to_timestamp(3050), ARRAY[{ids}]"
                plan = await reader.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE said ({page})")
            nodes = list(nodes_of([json.loads(plan)[0]["Plan"]]))
            assert nodes[0]["Actual Rows"] == 50
            assert rows_read(nodes) <= 50, nodes


async def test_no_page_reads_more_than_it_shows(many: Settings) -> None:
    async with looking(many.database_url) as owner:
        await owner.execute("ANALYZE")
    for query, found, marks in QUERIES:
        cost, keys = await explained(many, query)
        assert "Seq Scan" not in {node["Node Type"] for node in cost.nodes()}, query
        assert cost.rows_read() <= MOST_ROWS + marks, (query, cost.plans)
        assert len(keys) == found, query


async def test_a_search_among_some_sessions_reads_those_only(many: Settings) -> None:
    keys = [f"s{number}" for number in range(1000, 1200)]
    for typed, found in (("common", 200), ('"own1100"', 1), ("nothing", 0)):
        count, nodes = await searched(many, typed, keys)
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}, typed
        assert rows_read(nodes) <= 2 * len(keys), (typed, nodes)  # and once more to count where nothing is found
        assert count == found, typed


async def test_folders_and_labels_are_counted_as_far_as_is_said(many: Settings) -> None:
    async with open_pool(many.reader_database_url, "test", 1) as pool:
        counts = await FolderQueries(pool).counts(["ann"], None)
        limited = await FolderQueries(pool).counts(["ann"], ("rare",))
    assert counts == {
        ("folder", "common"): MOST_COUNTED,
        ("folder", "rare"): 1,
        ("label", "common"): MOST_COUNTED,
        ("label", "rare"): 1,
        ("label", "some"): SESSIONS // 250,
    }
    assert limited.keys() >= {("folder", "rare"), ("label", "rare")}
    assert ("folder", "common") not in limited
