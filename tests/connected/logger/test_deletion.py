"""What the logger does with deleted sessions and erased users, on a real PostgreSQL with its own role."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from time import perf_counter
from types import ModuleType
from typing import Any

import asyncpg
import pytest

from services.logger import store as store_module
from services.logger.dead_letters import rows as letters_module
from services.logger.dead_letters.known import make_letter
from services.logger.dead_letters.owners import Gone
from services.logger.handlers import ChatHandler
from services.logger.searching.indexing import Indexer
from services.logger.searching.store import SearchStore
from services.logger.store import Store
from services.logger.sweeping.jobs import Sweeper
from services.logger.sweeping.sweeps import SweepStore
from shared.database import Pool, open_pool
from shared.events import ConversationRead, Event, FeedbackGiven, SessionDeleted, TracesReported, UserErased
from shared.ids import user_hash
from shared.settings import Settings
from tests.pure.logger.samples import answered, at, changed, opened, posted, trace
from tests.waiting import until

pytestmark = pytest.mark.no_broker

BEFORE = at(10)
HEADERS = {"x-queue": "logger.chat", "x-reason": "undecodable"}


class Logger:
    """The handler of the queue, and the jobs."""

    def __init__(self, pool: Pool, portion: int = 2) -> None:
        self.store = Store(pool)
        self._chat = ChatHandler(self.store)
        self._sweeper = Sweeper(SweepStore(pool, portion))
        self._indexer = Indexer(SearchStore(pool))

    async def hear(self, *events: Event) -> None:
        await self._chat.commit(events)

    async def index(self) -> None:
        await self._indexer.begin()
        while await self._indexer.index_next():
            pass

    async def sweep(self) -> None:
        while await self._sweeper.sweep_session() or await self._sweeper.sweep_user():
            pass


@pytest.fixture
async def logger(settings: Settings) -> AsyncIterator[Logger]:
    async with open_pool(settings.logger_database_url, "test", size=4) as pool:
        yield Logger(pool)


def deleted(session_id: str = "s1", user_id: str = "ada") -> SessionDeleted:
    return SessionDeleted(user_id=user_id, session_id=session_id, accepted_at=BEFORE)


def erased(user_id: str = "ada", second: float = 10) -> UserErased:
    return UserErased(user_id=user_id, erased_at=at(second))


async def left(owner: asyncpg.Connection, table: str = "messages") -> list[tuple[str, str]]:
    rows = await owner.fetch(f"SELECT user_id, session_id FROM chat.{table} ORDER BY 1, 2")  # noqa: S608
    return [(row["user_id"], row["session_id"]) for row in rows]


def as_dict(row: asyncpg.Record) -> dict[str, Any]:
    return dict(row)


async def the_row(owner: asyncpg.Connection, query: str) -> tuple[Any, ...]:
    row = await owner.fetchrow(query)
    assert row is not None
    return tuple(row)


async def test_of_a_deleted_session_a_row_is_left_that_says_nothing(logger: Logger, owner: asyncpg.Connection) -> None:
    spoken = [posted(f"m{second}", second, model="gpt", project_id="p", helper="h") for second in range(5)]
    await logger.hear(*spoken, answered("a1", 6, trace=trace()), posted("o1", session_id="s2"))
    await logger.index()
    assert len(await left(owner, "search")) == 6 + 1 + 2  # the messages, and the titles of both
    await owner.execute(
        """
        UPDATE chat.sessions SET title_source = 'user', folder = 'f', labels = '{x}', metadata = '{"a": "b"}',
            field_stamps = '{"a": "b"}', pinned = true, archived = true, experiment_name = 'e', analytics = false,
            ended_at = now(), forked_from = 's0', first_client = '{x}', last_client = '{x}'
        """
    )
    await owner.execute(
        "INSERT INTO chat.feedback VALUES ('ada', 's1', 'a1', 'up', 'so good', now(), gen_random_uuid())"
    )
    await logger.hear(deleted())
    bare = deleted("never")
    await logger.hear(bare)
    await logger.sweep()
    assert await left(owner) == [("ada", "s2")]
    assert await left(owner, "search") == [("ada", "s2")] * 2
    assert await left(owner, "traces") == await left(owner, "feedback") == []
    rows = await owner.fetch("SELECT * FROM chat.sessions WHERE deleted_at IS NOT NULL ORDER BY session_id")
    never, gone = map(as_dict, rows)
    differ = {name for name in gone if gone[name] != never[name]}
    assert differ <= {"session_id", "created_at", "updated_at", "noted_by", "noted_at", "swept_at"}, (
        "a column that a deletion leaves as it was"
    )
    assert None not in (gone["swept_at"], never["swept_at"])


@pytest.mark.parametrize("order", ["first", "within", "last"])
async def test_a_message_vanishes_whenever_it_comes(logger: Logger, owner: asyncpg.Connection, order: str) -> None:
    message, answer = posted(), answered(trace=trace())
    groups: dict[str, list[list[Event]]] = {
        "first": [[deleted()], [message, answer]],
        "within": [[message, deleted(), answer]],
        "last": [[message, answer], [deleted()], [message, answer]],
    }
    for group in groups[order]:
        await logger.hear(*group)
    await logger.sweep()
    assert await left(owner) == await left(owner, "traces") == []
    count = await owner.fetchval("SELECT message_count FROM chat.sessions WHERE session_id = 's1'")
    assert count == 0


async def test_traces_from_outside_go_by_when_they_were_told_and_with_their_session(
    logger: Logger, owner: asyncpg.Connection
) -> None:
    def told(second: float, trace_id: str, user_id: str = "ada", **fields: Any) -> TracesReported:
        # When it began says nothing of when it was told.
        one = {"trace_id": trace_id, "model": "gpt", "status": "ok", "started_at": at(20 - second), **fields}
        return TracesReported.model_validate({"user_id": user_id, "accepted_at": at(second), "traces": [one]})

    of_bobs = [told(second, f"b{second}", "bob", session_id="s1") for second in (1, 19)]
    await logger.hear(told(1, "before"), told(19, "since"), *of_bobs, told(1, "alone", "bob"))
    await logger.hear(erased(), deleted(user_id="bob"))
    await logger.sweep()
    await logger.hear(told(2, "before"), *of_bobs)
    rows = await owner.fetch("SELECT trace_id FROM chat.traces ORDER BY 1")
    assert [trace_id for (trace_id,) in rows] == ["alone", "since"]


async def test_what_an_erased_user_said_before_goes_and_what_is_newer_stays(
    logger: Logger, owner: asyncpg.Connection
) -> None:
    old = [posted(f"m{second}", second) for second in range(5)]
    await logger.hear(*old, posted("b1", user_id="bob"), answered("a4", 5, parent_id="m4", trace=trace()))
    await logger.hear(posted("x", session_id="s9"), deleted("s9"))
    await logger.hear(erased())
    newer = posted("n1", 11, session_id="s2", content="a new beginning")
    late = answered("a5", 12, session_id="s3", accepted_at=at(9), trace=trace("t2"))  # of an older question
    await logger.hear(*old, newer, late)
    assert ("ada", "s3") not in await left(owner)
    await logger.sweep()
    assert await left(owner) == [("ada", "s2"), ("bob", "s1")]
    assert await left(owner, "sessions") == [("ada", "s2"), ("bob", "s1")]
    assert await left(owner, "traces") == []
    line = await the_row(owner, "SELECT user_id, done_at IS NOT NULL AS done FROM chat.erased_users")
    assert line == (None, True)
    await logger.hear(*old, deleted("s9"), late)
    await logger.sweep()
    assert await left(owner, "sessions") == [("ada", "s2"), ("bob", "s1")]


async def test_a_session_that_goes_on_begins_anew(logger: Logger, owner: asyncpg.Connection) -> None:
    await logger.hear(posted("m1", 1, content="old words", client={"address": "198.51.100.0/24"}), posted("m2", 2))
    await owner.execute(
        "UPDATE chat.sessions SET title = 'my secret', title_source = 'user', folder = 'f', pinned = true"
    )
    late = answered("a2", 12, parent_id="m2", turn_id="00000000-0000-0000-0000-000000000001")
    await logger.hear(late, posted("n1", 13, content="new words", client={"address": "203.0.113.0/24"}), erased())
    await logger.sweep()
    rows = await owner.fetch("SELECT message_id FROM chat.messages")
    assert [row["message_id"] for row in rows] == ["n1"]
    row = await the_row(
        owner, "SELECT title, title_source, message_count, last_message, created_at, folder, pinned FROM chat.sessions"
    )
    assert row == ("new words", "message", 1, "new words", at(13), None, False)
    from_there = ["2026-11-21T12:00:13+00:00", "203.0.113.0/24", ""]
    assert await the_row(owner, "SELECT first_client, last_client FROM chat.sessions") == (from_there, from_there)


async def test_what_people_set_of_a_session_since_they_were_erased_stays(
    logger: Logger, owner: asyncpg.Connection
) -> None:
    await logger.hear(posted("m1", 1), posted("m2", 2, session_id="s2"), posted("m3", 3, session_id="s3"))
    await logger.hear(changed(4, folder="old", labels=["old"]), changed(5, session_id="s3", title="old"))
    await logger.hear(opened(11), changed(12, title="new", pinned=True), opened(13, session_id="s2", model="gpt"))
    await logger.hear(erased())
    await logger.sweep()
    rows = await owner.fetch(
        "SELECT session_id, title, model, pinned, folder, labels, created_at, last_activity_at, message_count,"
        " last_message FROM chat.sessions ORDER BY session_id"
    )
    assert [tuple(row) for row in rows] == [
        ("s1", "new", None, True, None, [], at(11), at(11), 0, None),
        ("s2", None, "gpt", False, None, [], at(13), at(13), 0, None),
    ]
    await logger.hear(posted("n1", 14), changed(3, title="late"))
    row = await the_row(owner, "SELECT title, message_count, created_at FROM chat.sessions WHERE session_id = 's1'")
    assert row == ("new", 1, at(11))


async def test_what_comes_late_for_a_tombstone_takes_nothing_else_along(
    logger: Logger, owner: asyncpg.Connection
) -> None:
    await logger.hear(posted("m1", 1), posted("m2", 2))
    await logger.hear(deleted())
    await logger.hear(posted("m2", 2), posted("m3", 3))
    rows = await owner.fetch("SELECT message_id FROM chat.messages")
    assert [row["message_id"] for row in rows] == ["m1"], "the rest is the sweep's"
    await logger.sweep()
    assert await left(owner) == []


async def test_of_two_erasures_the_later_one_counts(logger: Logger, owner: asyncpg.Connection) -> None:
    await logger.hear(erased(second=20), erased(second=10))
    await logger.sweep()
    await logger.hear(erased(second=5), posted("m1", 15), posted("m2", 25))
    rows = await owner.fetch("SELECT message_id FROM chat.messages")
    assert [row["message_id"] for row in rows] == ["m2"]
    assert await owner.fetchval("SELECT done_at IS NOT NULL FROM chat.erased_users")


async def test_nothing_is_swept_while_somebody_may_not_have_seen_the_note(
    logger: Logger, settings: Settings, owner: asyncpg.Connection
) -> None:
    await logger.hear(posted("m1", 1))
    writer = await asyncpg.connect(settings.logger_database_url)
    try:
        await writer.execute("BEGIN; SELECT 1")
        await logger.hear(erased(), deleted("s2"))
        await logger.sweep()
        assert await left(owner) == [("ada", "s1")]
        await writer.execute("COMMIT")
    finally:
        await writer.close()

    async def swept() -> bool:
        await logger.sweep()
        return await left(owner) == []

    await until(swept, "the sweep")


async def test_letters_go_with_whom_they_name_and_no_others(logger: Logger, owner: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    bodies = {
        "own": b'{"user_id": "1", "session_id": "s1", "content": "secret"}',
        "other's that says 1": b'{"user_id": "bob", "session_id": "s1", "content": "1"}',
        "torn": b'{"user_id": "1", "session_id": "s1", "content": "sec',
        "torn, of 11": b'{"user_id": "11", "content": "1 and 1',
        "bytes": b"\x00\x01 1 and more of 1",
    }
    await logger.store.park([make_letter(body, HEADERS, name=name, message_id=None) for name, body in bodies.items()])
    await logger.hear(UserErased(user_id="1", erased_at=now + timedelta(seconds=1)))
    await logger.sweep()
    rows = await owner.fetch("SELECT event_name FROM chat.dead_letters")
    assert {row["event_name"] for row in rows} == {"other's that says 1", "torn, of 11", "bytes"}


async def test_letters_of_a_deleted_session_go_and_come_no_more(logger: Logger, owner: asyncpg.Connection) -> None:
    def letters(tag: str) -> list[bytes]:
        return [
            b'{"user_id": "\xc3\xa4da", "session_id": "s1", "content": "%s"}' % tag.encode(),
            b'{"user_id": "\\u00e4da", "session_id": "s1", "content": "%s' % tag.encode(),
            b'{"user_id": "\xc3\xa4da", "session_id": "s2", "content": "%s"}' % tag.encode(),
        ]

    await logger.store.park([make_letter(body, HEADERS, name=None, message_id=None) for body in letters("a")])
    await logger.hear(deleted(user_id="äda"))
    await logger.sweep()
    assert await owner.fetchval("SELECT array_agg(body) FROM chat.dead_letters") == [letters("a")[2]]
    await logger.store.park([make_letter(letters("b")[0], HEADERS, name=None, message_id=None)])
    assert await owner.fetchval("SELECT count(*) FROM chat.dead_letters") == 1


async def test_a_deletion_looks_through_few_of_many_letters(settings: Settings, owner: asyncpg.Connection) -> None:
    await owner.execute(
        """
        INSERT INTO chat.dead_letters (dead_letter_id, queue, dedupe_key, body, reason, error, user_id)
        SELECT gen_random_uuid(), 'q', i::text, convert_to(repeat('{"x": "y",', 50), 'UTF8'), 'r', 'e',
            CASE WHEN i % 10 > 0 THEN 'u' || i % 1000 END
        FROM generate_series(1, 100000) AS i
        """
    )
    await owner.execute("ANALYZE chat.dead_letters")
    torn = [b'{"user_id": "ada", "session_id": "s%d' % number for number in (1, 2)]
    torn[0] += b'"'
    async with open_pool(settings.logger_database_url, "test", size=1) as pool:
        await Store(pool).park([make_letter(body, HEADERS, name=None, message_id=None) for body in torn])
        took = []
        for gone in (Gone("ada", "s1"), Gone("u1", "s1"), Gone("bob", "s1"), Gone("bob", erased_at=at(0))):
            began = perf_counter()
            await SweepStore(pool).sweep_letters(gone)
            took.append(perf_counter() - began)
    assert min(took) < 5, "it took 17 s on a machine that does it in 0.1"
    kept = await owner.fetchval("SELECT array_agg(body) FROM chat.dead_letters WHERE position('ada' IN body) > 0")
    assert kept == torn[1:]
    assert await owner.fetchval("SELECT count(*) FROM chat.dead_letters") == 100_001


async def test_an_older_letter_of_an_erased_user_is_not_parked(logger: Logger, owner: asyncpg.Connection) -> None:
    await logger.hear(erased())
    letters = [posted("m1", 9), posted("m2", 11)]
    await logger.store.park([make_letter(e.body(), HEADERS, name=None, message_id=None) for e in letters])
    assert await owner.fetchval("SELECT array_agg(event_id) FROM chat.dead_letters") == [letters[1].event_id]


@pytest.mark.parametrize("is_parked_first", [True, False])
async def test_a_letter_of_an_erased_user_that_says_no_time_is_older(
    logger: Logger, owner: asyncpg.Connection, is_parked_first: bool
) -> None:
    letters = [
        make_letter(b'{"user_id": "%s"}' % user, HEADERS, name=None, message_id=None) for user in (b"ada", b"cy")
    ]
    if is_parked_first:
        await logger.store.park(letters)
    await logger.hear(erased())
    await logger.sweep()
    if not is_parked_first:
        await logger.store.park(letters)
    assert await owner.fetchval("SELECT array_agg(user_id) FROM chat.dead_letters") == ["cy"]


async def test_who_read_a_user_s_conversation_is_kept_and_not_whose_it_was(
    logger: Logger, owner: asyncpg.Connection
) -> None:
    for number in range(3):
        await owner.execute(
            "INSERT INTO chat.conversation_reads VALUES (gen_random_uuid(), 'eve', 'ada', $1, '{\"q\": 1}', $2)",
            f"s{number}",
            at(1),
        )
    await logger.hear(erased())
    await logger.sweep()
    rows = await owner.fetch("SELECT DISTINCT operator, user_id, session_id, query FROM chat.conversation_reads")
    assert [(row["operator"], row["session_id"], row["query"]) for row in rows] == [("eve", None, "{}")]
    assert rows[0]["user_id"] not in ("ada", None)


def read_of(user_id: str | None, second: float) -> ConversationRead:
    about = {"path": "/api/admin/messages", "q": "marzipan", "reason": "because of ada"}
    return ConversationRead(
        operator="eve", accepted_at=at(second), kind="messages", user_id=user_id, items=3, query=about
    )


async def test_reads_are_kept_once_and_known_to_who_waits(logger: Logger, owner: asyncpg.Connection) -> None:
    reads = [read_of("ada", 1), read_of(None, 2), read_of("bob", 3)]
    await logger.hear(*reads, reads[0])
    await logger.hear(reads[1])
    rows = await owner.fetch("SELECT * FROM chat.conversation_reads ORDER BY occurred_at")
    assert [(row["operator"], row["user_id"], row["kind"], row["items"]) for row in rows] == [
        ("eve", user_id, "messages", 3) for user_id in ("ada", None, "bob")
    ]
    assert [row["occurred_at"] for row in rows] == [at(1), at(2), at(3)]
    (outcome,) = await ChatHandler(logger.store).commit(reads[:1])
    assert (outcome.user_id, outcome.causes) == ("eve", (reads[0].event_id,))


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_read_of_before_an_erasure_names_nobody_whenever_it_comes(
    logger: Logger, owner: asyncpg.Connection, is_late: bool
) -> None:
    before, after, others = read_of("ada", 9), read_of("ada", 11), read_of("bob", 9)
    events = [before, after, others]
    await logger.hear(*([erased()] if is_late else []), *events, *([] if is_late else [erased()]))
    await logger.sweep()
    rows = await owner.fetch("SELECT * FROM chat.conversation_reads ORDER BY occurred_at, user_id")
    known = {row["user_id"]: row["query"] for row in rows}
    assert {each for each in known if each in ("ada", "bob")} == {"ada", "bob"}
    (hashed,) = known.keys() - {"ada", "bob"}
    assert (hashed, known[hashed]) == (user_hash("ada").hex(), "{}")
    assert {row["operator"] for row in rows} == {"eve"}


async def test_who_read_is_known_also_when_they_are_erased_as_users(logger: Logger, owner: asyncpg.Connection) -> None:
    await logger.hear(read_of("ada", 1), erased("eve"))
    await logger.sweep()
    rows = await owner.fetch("SELECT operator, user_id FROM chat.conversation_reads")
    assert [tuple(row) for row in rows] == [("eve", "ada")]


async def test_tombstones_are_found_a_portion_at_a_time(settings: Settings, owner: asyncpg.Connection) -> None:
    async with open_pool(settings.logger_database_url, "test", size=2) as pool:
        sweeps, found = SweepStore(pool, 2), []
        await Logger(pool).hear(*(deleted(f"s{each}") for each in range(5)))
        for _ in range(3):
            assert await sweeps.next_session()
            found.append(await owner.fetchval("SELECT count(*) FROM chat.sessions WHERE noted_at < 'infinity'"))
    assert found == [2, 4, 5]


async def test_two_loggers_lose_no_race_against_a_deletion(logger: Logger, owner: asyncpg.Connection) -> None:
    for number in range(10):
        spoken = [posted(f"m{number}-{each}", each, session_id=f"s{number}") for each in range(5)]
        await asyncio.gather(
            logger.hear(*spoken), logger.hear(deleted(f"s{number}")), logger.hear(*spoken[::-1]), logger.sweep()
        )
    await logger.sweep()
    assert await left(owner) == []


class Meanwhile:
    """A user is erased, and as much is swept as may be, at one moment of another logger's work."""

    def __init__(self, logger: Logger, monkeypatch: pytest.MonkeyPatch) -> None:
        self._logger = logger
        self._patch = monkeypatch
        self.happened = False

    def after(self, module: ModuleType, name: str, user_id: str = "ada", call: int = 1) -> None:
        """Let it happen right after a call of this function: it has read, and not written yet."""
        real = getattr(module, name)
        calls = count(1)

        async def followed(*arguments: Any) -> Any:
            result = await real(*arguments)
            if next(calls) == call:
                await self._happen(user_id)
            return result

        self._patch.setattr(module, name, followed)

    async def _happen(self, user_id: str) -> None:
        self.happened = True
        await self._logger.hear(erased(user_id))
        await self._logger.sweep()

    async def settled(self, owner: asyncpg.Connection) -> None:
        """Wait until the erasure is done."""
        assert self.happened

        async def is_done() -> bool:
            await self._logger.sweep()
            return bool(await owner.fetchval("SELECT bool_and(done_at IS NOT NULL) FROM chat.erased_users"))

        await until(is_done, "the erasure")


@pytest.fixture
def meanwhile(logger: Logger, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    return Meanwhile(logger, monkeypatch)


@pytest.mark.parametrize(
    ("event", "table"),
    [
        (opened(5, title="secret"), "sessions"),
        (changed(6, title="secret"), "sessions"),
        (
            FeedbackGiven(
                user_id="ada", session_id="s1", accepted_at=at(5), message_id="a1", value="up", comment="secret"
            ),
            "feedback",
        ),
    ],
    ids=["opened", "changed", "feedback"],
)
async def test_what_is_stored_while_its_user_is_erased_goes(
    logger: Logger, owner: asyncpg.Connection, meanwhile: Meanwhile, event: Event, table: str
) -> None:
    meanwhile.after(store_module, "known_not_erased")
    await logger.hear(event)
    await meanwhile.settled(owner)
    assert await left(owner, table) == []


async def test_a_group_of_one_erased_user_stores_nothing_of_another_who_is_erased_meanwhile(
    logger: Logger, owner: asyncpg.Connection, meanwhile: Meanwhile
) -> None:
    await logger.hear(erased())
    await logger.sweep()
    meanwhile.after(store_module, "_store_unless_erased", "bob")  # it has found that ada is erased
    await logger.hear(posted("m1", 1), posted("m2", 2, user_id="bob"), posted("m3", 11), posted("c1", 1, user_id="cy"))
    await meanwhile.settled(owner)
    assert await left(owner) == [("ada", "s1"), ("cy", "s1")]


async def test_a_letter_that_is_parked_while_its_user_is_erased_goes(
    logger: Logger, owner: asyncpg.Connection, meanwhile: Meanwhile
) -> None:
    meanwhile.after(letters_module, "_not_gone")
    await logger.store.park([make_letter(posted("m1", 9).body(), HEADERS, name=None, message_id=None)])
    await meanwhile.settled(owner)
    assert await owner.fetchval("SELECT count(*) FROM chat.dead_letters") == 0


async def test_a_group_of_users_who_were_not_erased_is_one_statement(settings: Settings) -> None:
    statements: list[str] = []
    async with open_pool(settings.logger_database_url, "test", size=1) as pool:
        store = Store(pool)
        await store.store_chat([posted("m0")], ())  # a new connection asks for the types, too
        async with pool.acquire() as db:
            db.add_query_logger(lambda record: statements.append(record.query))
        await store.store_chat([posted("m1"), posted("b1", user_id="bob")], ())
        assert [statement.split()[0] for statement in statements] == ["WITH"]
        await store.store_chat([], (), [opened()])
        assert statements[1] == "BEGIN;", "a transaction would be seen here"
