"""Sessions that begin as copies of others, on a real PostgreSQL with the logger's own role."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.logger.handlers import ChatHandler
from services.logger.rows import forking
from services.logger.store import Store
from services.logger.sweeping.jobs import Sweeper
from services.logger.sweeping.sweeps import SweepStore
from shared.database import Pool, open_pool
from shared.events import Event, SessionDeleted, SessionForked, UserErased
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.pure.logger.samples import answered, at, changed, opened, posted, titled, trace

pytestmark = pytest.mark.no_broker


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    async with open_pool(settings.logger_database_url, "test", size=4) as pool:
        yield pool


@pytest.fixture
def logger(pool: Pool) -> ChatHandler:
    return ChatHandler(Store(pool))


def forked(message_id: str = "a2", second: float = 20, to: str = "f1", **fields: object) -> SessionForked:
    about = {"user_id": "ada", "session_id": to, "source_id": "s1", "message_id": message_id, "accepted_at": at(second)}
    return SessionForked.model_validate(about | fields)


async def talk(logger: ChatHandler) -> None:
    """Say something on two branches, in a session with all that one may have."""
    await logger.commit(
        [
            opened(0, title="mine", helper="h", project_id="p", analytics=False, metadata={"client": "Smith"}),
            posted("m1", 1, model="m"),
            answered("a1", 2, parent_id="m1", parts=({"type": "text", "text": "x"},), trace=trace()),
            posted("n1", 3, role="system", content="noted"),
            posted("m2", 4, parent_id="a1"),
            answered("a2", 5, parent_id="m2", content="the last word"),
            posted("e2", 6, parent_id="a1", client_message_id="m2"),
            answered("x2", 7, parent_id="e2"),
            posted("n2", 8, role="system", content="noted later"),
            changed(9, folder="f", pinned=True, labels=("l",)),
        ]
    )


async def said(owner: asyncpg.Connection, session_id: str = "f1") -> list[str]:
    rows = await owner.fetch(
        "SELECT message_id FROM chat.messages WHERE session_id = $1 ORDER BY created_at, message_id", session_id
    )
    return [row["message_id"] for row in rows]


async def the_fork(owner: asyncpg.Connection, session_id: str = "f1") -> asyncpg.Record:
    row = await owner.fetchrow("SELECT * FROM chat.sessions WHERE session_id = $1", session_id)
    assert row is not None
    return row


async def sweep(pool: Pool) -> None:
    sweeper = Sweeper(SweepStore(pool, 2))
    while await sweeper.sweep_session() or await sweeper.sweep_user():
        pass


async def test_a_branch_is_copied_with_what_its_session_has(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await talk(logger)
    event = forked()
    (outcome,) = await logger.commit([event])
    assert (outcome.session_id, outcome.changed, outcome.causes) == ("f1", ("created",), (event.event_id,))
    assert await said(owner) == ["m1", "a1", "n1", "m2", "a2"]
    each = "SELECT {0} FROM chat.messages WHERE session_id = "
    same = f"SELECT count(*) FROM ({each} 's1' INTERSECT ALL {each} 'f1') t"  # noqa: S608 - a test's
    columns = "user_id, message_id, role, content, parts, model, parent_id, client_message_id, created_at, metadata"
    assert await owner.fetchval(same.format(columns)) == 5
    row = await the_fork(owner)
    assert (row["forked_from"], row["message_count"], row["last_message"]) == ("s1", 5, "the last word")
    assert (row["title"], row["title_source"], row["helper"], row["project_id"]) == ("mine", "user", "h", "p")
    assert (row["model"], row["analytics"], row["metadata"]) == ("m", False, '{"client": "Smith"}')
    assert (row["folder"], row["pinned"], row["labels"], row["created_at"]) == (None, False, [], at(20))
    assert row["last_activity_at"] == at(20)
    marks = await owner.fetch("SELECT kind, value FROM chat.session_marks WHERE session_id = 'f1' ORDER BY 1")
    assert [tuple(mark) for mark in marks] == [("helper", "h"), ("model", "m"), ("project_id", "p")]


async def test_of_a_call_that_waits_the_copy_asks_nothing(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    """It is approved in the session that asks, and found in no other."""
    call = {"type": "tool-f", "toolCallId": "c1", "input": {"a": 1}}
    waits = {**call, "state": "approval-requested", "approval": {"id": "t-0"}}
    parts = ({"type": "text", "text": "x"}, waits, {**call, "toolCallId": "c2", "state": "output-available"})
    await logger.commit([posted("m1", 1), answered("a1", 2, parent_id="m1", parts=parts)])
    await logger.commit([forked("a1")])
    each = "SELECT parts FROM chat.messages WHERE message_id = 'a1' AND session_id = $1"
    copied = json.loads(await owner.fetchval(each, "f1"))
    assert [part.get("state") for part in copied] == [None, "output-denied", "output-available"]
    assert (copied[1]["approval"]["id"], copied[1]["approval"]["approved"]) == ("t-0", False)
    assert (copied[0], copied[2], copied[1]["input"]) == (parts[0], parts[2], {"a": 1})
    assert json.loads(await owner.fetchval(each, "s1")) == list(parts)


async def test_a_repeat_copies_nothing_and_another_fork_does(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await talk(logger)
    event = forked("a1", title="again")
    await logger.commit([event, event])
    await logger.commit([posted("m9", 30, session_id="f1", parent_id="a1"), event])
    assert await said(owner) == ["m1", "a1", "m9"]
    row = await the_fork(owner)
    assert (row["message_count"], row["title"], row["last_message"]) == (3, "again", "this is m9")
    await logger.commit([forked("x2", to="f2")])
    assert await said(owner, "f2") == ["m1", "a1", "n1", "e2", "x2"]
    assert await said(owner, "s1") == ["m1", "a1", "n1", "m2", "a2", "e2", "x2", "n2"]


async def test_what_was_said_and_set_in_it_before_stays(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await talk(logger)
    await logger.commit(
        [posted("m9", 30, session_id="f1"), changed(31, session_id="f1", title="its own", analytics=True)]
    )
    await logger.commit([forked("a1", title="the fork's")])
    row = await the_fork(owner)
    assert (row["title"], row["analytics"], row["message_count"]) == ("its own", True, 3)
    assert (row["last_message"], row["last_message_at"]) == ("this is m9", at(30))


async def test_a_fork_has_its_sources_title_of_a_model_unless_it_has_its_own(
    logger: ChatHandler, owner: asyncpg.Connection
) -> None:
    await logger.commit([posted("m1", 1, content="Fly me to Aspen"), answered("a1", 2, parent_id="m1")])
    await logger.commit([titled("Aspen by air", 1), forked("a1", to="f1"), forked("a1", to="f2", title="mine")])
    await logger.commit([titled("Of the fork", 30, "f3"), titled("Of the fork", 30, "f2"), forked("a1", to="f3")])
    await logger.commit([titled("A", 30, "f4"), forked("a1", to="f4"), forked("a1", to="f5")])
    await logger.commit([titled("A", 30, "f5")])  # in either order
    rows = await owner.fetch("SELECT title, title_source FROM chat.sessions ORDER BY session_id")
    by_air = ("Aspen by air", "model")
    of_a_model = [by_air, ("mine", "user"), ("Of the fork", "model"), by_air, by_air, by_air]
    assert [tuple(row) for row in rows] == of_a_model


async def test_a_long_session_is_copied_in_portions_whole_or_not_at_all(
    logger: ChatHandler, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await logger.commit([posted("m0", 0)])
    await owner.execute(
        """
        INSERT INTO chat.messages (user_id, session_id, message_id, role, content, parent_id, event_id, created_at)
        SELECT 'ada', 's1', 'm' || n, 'user', repeat('word ', 100), 'm' || n - 1, gen_random_uuid(),
            $1::timestamptz + n * interval '1 second' FROM generate_series(1, 20000) AS n
        """,
        at(0),
    )
    copying = forking._copy
    left = 3

    async def breaking(*arguments: object) -> int:
        nonlocal left
        left -= 1
        if not left:
            raise ConnectionResetError
        return await copying(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(forking, "_copy", breaking)
    with pytest.raises(ConnectionResetError):
        await logger.commit([forked("m20000")])
    assert await said(owner) == []
    assert await owner.fetchval("SELECT count(*) FROM chat.sessions") == 1
    await logger.commit([forked("m20000")])
    assert len(await said(owner)) == 20_001


@pytest.mark.parametrize("order", ["source first", "fork first", "fork in between"])
async def test_a_fork_of_what_is_deleted_or_that_is_deleted_comes_to_nothing(
    logger: ChatHandler, owner: asyncpg.Connection, pool: Pool, order: str
) -> None:
    await talk(logger)
    gone = "s1" if order == "source first" else "f1"
    deletion = SessionDeleted(user_id="ada", session_id=gone, accepted_at=at(21))
    groups: dict[str, list[list[Event]]] = {
        "source first": [[deletion], [forked()]],
        "fork first": [[forked()], [deletion]],
        "fork in between": [[deletion, forked()], [forked()]],
    }
    for group in groups[order]:
        await logger.commit(group)
    await sweep(pool)
    await logger.commit([forked()])  # late
    assert await said(owner) == []
    assert (await said(owner, "s1") == []) is (gone == "s1")
    assert (
        await owner.fetchval("SELECT count(*) FROM chat.sessions WHERE deleted_at IS NULL AND session_id = 'f1'") == 0
    )


async def test_a_source_that_is_deleted_while_it_is_copied_leaves_a_whole_fork(
    logger: ChatHandler, owner: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk(logger)
    monkeypatch.setattr(forking, "PORTION", 2)
    copying, reached, go_on = forking._copy, asyncio.Event(), asyncio.Event()

    async def waiting(*arguments: object) -> int:
        reached.set()
        await go_on.wait()
        return await copying(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(forking, "_copy", waiting)
    forks = asyncio.create_task(logger.commit([forked()]))
    await reached.wait()
    await logger.commit([SessionDeleted(user_id="ada", session_id="s1", accepted_at=at(21))])
    await sweep(pool)
    assert len(await said(owner, "s1")) == 8, "a sweep that does not wait for who may be reading"
    go_on.set()
    await forks
    await sweep(pool)
    assert (await said(owner, "s1"), await said(owner)) == ([], ["m1", "a1", "n1", "m2", "a2"])


async def test_a_fork_that_is_deleted_while_it_is_copied_is_gone(
    logger: ChatHandler, owner: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk(logger)
    copying, reached, go_on = forking._copy, asyncio.Event(), asyncio.Event()

    async def waiting(*arguments: object) -> int:
        reached.set()
        await go_on.wait()
        return await copying(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(forking, "_copy", waiting)
    forks = asyncio.create_task(logger.commit([forked()]))
    await reached.wait()
    deletes = asyncio.create_task(logger.commit([SessionDeleted(user_id="ada", session_id="f1", accepted_at=at(21))]))
    await until_blocked(owner)
    go_on.set()
    await asyncio.gather(forks, deletes)
    await sweep(pool)
    assert await said(owner) == []


async def test_of_an_erased_users_past_nothing_is_copied(
    logger: ChatHandler, owner: asyncpg.Connection, pool: Pool
) -> None:
    await talk(logger)
    await logger.commit([UserErased(user_id="ada", erased_at=at(3.5))])
    await logger.commit([forked(second=3), forked(to="f2")])
    assert await said(owner) == []
    assert await said(owner, "f2") == ["m2", "a2"]
    await sweep(pool)
    assert await said(owner, "f2") == ["m2", "a2"]
    await logger.commit([UserErased(user_id="ada", erased_at=at(30)), forked(to="f3")])
    await sweep(pool)
    assert await owner.fetchval("SELECT count(*) FROM chat.sessions") == 0


async def test_somebody_elses_session_of_that_id_is_not_copied(logger: ChatHandler, owner: asyncpg.Connection) -> None:
    await talk(logger)
    await logger.commit([forked(user_id="eve")])
    assert await owner.fetchval("SELECT count(*) FROM chat.sessions WHERE user_id = 'eve'") == 0
