"""What people set of sessions, beside what they say in them, on a real PostgreSQL with the logger's own role."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from services.logger.handlers import ChatHandler
from services.logger.reducing.settling import Edit
from services.logger.store import Store
from shared.database import open_pool
from shared.events import MessageEvent, SessionDeleted, SessionEvent, UserErased
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.pure.logger.samples import answered, at, changed, opened, posted, titled, trace

pytestmark = pytest.mark.no_broker


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_pool(settings.logger_database_url, "test", size=4) as pool:
        yield Store(pool)


async def keep(store: Store, *events: SessionEvent) -> None:
    for event in events:
        await ChatHandler(store).commit([event])


async def session(owner: asyncpg.Connection) -> dict[str, Any]:
    found = await owner.fetchrow("SELECT * FROM chat.sessions WHERE session_id = 's1'")
    assert found is not None
    return dict(found)


async def labels(owner: asyncpg.Connection) -> list[tuple[str, bool]]:
    found = await owner.fetch("SELECT value, archived FROM chat.session_marks WHERE kind = 'label' ORDER BY value")
    return [tuple(row) for row in found]


async def test_an_opening_makes_a_session_in_which_nothing_was_said(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, opened(1, title="mine", helper="h", project_id="p", model="m", metadata={"client": "Smith"}))
    row = await session(owner)
    assert (row["title"], row["title_source"], row["helper"], row["project_id"]) == ("mine", "user", "h", "p")
    assert (row["model"], row["model_at"], row["message_count"], row["last_message"]) == ("m", None, 0, None)
    assert row["created_at"] == row["last_activity_at"] == at(1)
    assert await owner.fetchval("SELECT metadata ->> 'client' FROM chat.sessions") == "Smith"


async def test_a_change_that_comes_first_makes_the_row(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, changed(5, folder="clients", labels=("a",)), posted(second=1, content="Aspen?"))
    row = await session(owner)
    assert (row["folder"], row["labels"], row["title"], row["message_count"]) == ("clients", ["a"], "Aspen?", 1)
    assert row["last_activity_at"] == at(1)


async def test_what_is_said_later_takes_the_openings_model_and_keeps_its_title(
    store: Store, owner: asyncpg.Connection
) -> None:
    await keep(store, opened(0, title="mine", model="first"), posted(second=1, model="second"))
    row = await session(owner)
    assert (row["title"], row["model"]) == ("mine", "second")


async def test_a_late_opening_undoes_nothing(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted(second=5, helper="h", model="m"), changed(6, title="mine"))
    await keep(store, opened(0, title="late", helper="late", model="late"))
    row = await session(owner)
    assert (row["title"], row["helper"], row["model"]) == ("mine", "h", "m")
    assert (row["created_at"], row["last_activity_at"]) == (at(0), at(5))


async def test_a_models_title_stands_beside_what_is_said_before_and_after(
    store: Store, owner: asyncpg.Connection
) -> None:
    said = [posted("q1", 1, content="Fly me to Aspen"), answered("a1", 2), posted("q0", 0, content="Hello")]
    for order in ([titled("Aspen by air", 1), *said], [*said, titled("Aspen by air", 1)]):
        await owner.execute("DELETE FROM chat.sessions")
        await keep(store, *order, changed(5, folder="clients"), posted("q2", 6, content="and back"))
        row = await session(owner)
        assert (row["title"], row["title_source"], row["folder"]) == ("Aspen by air", "model", "clients")
        assert row["last_activity_at"] == at(6)


async def test_a_models_title_that_is_taken_back_gives_way_to_the_first_messages_for_good(
    store: Store, owner: asyncpg.Connection
) -> None:
    await keep(store, posted("q1", 1, content="Fly me to Aspen"), titled("Aspen by air", 1), changed(5, title=None))
    await keep(store, titled("Aspen by air", 1))
    row = await session(owner)
    assert (row["title"], row["title_source"]) == ("Fly me to Aspen", "message")


async def test_a_models_title_of_a_deleted_session_or_an_erased_user_comes_to_nothing(
    store: Store, owner: asyncpg.Connection
) -> None:
    await keep(store, posted("q1", 1), SessionDeleted(user_id="ada", session_id="s1", accepted_at=at(3)))
    await keep(store, titled("Aspen by air", 1))
    row = await session(owner)
    assert (row["title"], row["deleted_at"]) == (None, at(3))
    await ChatHandler(store).commit([UserErased(user_id="ada", erased_at=at(20))])
    await keep(store, titled("Aspen by air", 19, session_id="s2"))
    assert await owner.fetchval("SELECT count(*) FROM chat.sessions WHERE session_id = 's2'") == 0


async def test_whoever_listens_hears_that_the_title_changed(store: Store, owner: asyncpg.Connection) -> None:
    (stored,) = await ChatHandler(store).commit([titled("Aspen by air")])
    assert (stored.session_id, stored.changed) == ("s1", ("title",))
    assert (await session(owner))["title"] == "Aspen by air"


async def test_a_title_that_is_taken_back_is_that_of_the_first_message_again(
    store: Store, owner: asyncpg.Connection
) -> None:
    await keep(store, posted("m2", 2, content="second"), changed(3, title="mine"), posted("m1", 1, content="first"))
    assert (await session(owner))["title"] == "mine"
    await keep(store, changed(4, title=None))
    row = await session(owner)
    assert (row["title"], row["title_source"]) == ("first", "message")


async def test_a_title_that_is_taken_back_before_anything_was_said_is_the_next_messages(
    store: Store, owner: asyncpg.Connection
) -> None:
    await keep(store, opened(0, title="mine"), changed(1, title=None))
    assert (await session(owner))["title_source"] == "none"
    await keep(store, posted(second=2, content="first"))
    assert (await session(owner))["title"] == "first"


async def test_labels_are_found_as_their_session_has_them(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, changed(1, labels=("b", "a", "a")))
    assert await labels(owner) == [("a", False), ("b", False)]
    await keep(store, changed(2, archived=True))
    assert await labels(owner) == [("a", True), ("b", True)]
    await keep(store, changed(3, labels=("c",)))
    assert await labels(owner) == [("c", True)]


async def test_a_session_is_found_by_what_it_has_as_long_as_it_is_there(
    store: Store, owner: asyncpg.Connection
) -> None:
    async def marks() -> list[tuple[str, str]]:
        found = await owner.fetch("SELECT kind, value FROM chat.session_marks ORDER BY 1, 2")
        return [tuple(row) for row in found]

    await keep(store, posted(model="m1", helper="h", project_id="p"), changed(1, folder="f", labels=("a",)))
    assert await marks() == [("folder", "f"), ("helper", "h"), ("label", "a"), ("model", "m1"), ("project_id", "p")]
    await keep(store, posted("m2", 2, model="m2"), changed(3, folder=None, labels=()))
    assert await marks() == [("helper", "h"), ("model", "m2"), ("project_id", "p")]
    await owner.execute("UPDATE chat.sessions SET deleted_at = now()")
    assert await marks() == []
    await owner.execute("UPDATE chat.sessions SET deleted_at = NULL")
    assert len(await marks()) == 3
    await owner.execute("DELETE FROM chat.sessions")
    assert await marks() == []


async def test_an_ended_session_is_begun_again_by_what_is_said(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted(second=1), changed(5, at(5)))
    assert (await session(owner))["ended_at"] == at(5)
    await keep(store, posted("m2", 6))
    assert (await session(owner))["ended_at"] is None


async def test_no_trace_is_kept_once_analytics_are_off(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted(), changed(2, analytics=False), answered(second=3, trace=trace()))
    assert await owner.fetchval("SELECT count(*) FROM chat.traces") == 0


async def test_a_repeat_writes_nothing(store: Store, owner: asyncpg.Connection) -> None:
    events = (opened(0, title="mine"), changed(1, labels=("a",), pinned=True))
    await keep(store, *events)
    before = await session(owner)
    await keep(store, *events[::-1])
    assert await session(owner) == before


async def test_an_edit_of_a_deleted_session_vanishes(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, opened(0))
    async with owner.transaction():
        await owner.execute("UPDATE chat.sessions SET deleted_at = now()")
        late = asyncio.create_task(keep(store, changed(9, title="late", labels=("a",))))
        await until_blocked(owner)
    await late
    assert ((await session(owner))["title"], await labels(owner)) == (None, [])


async def test_everybody_who_waits_for_an_edit_is_told(store: Store, owner: asyncpg.Connection) -> None:
    first, second = opened(0), changed(1, pinned=True)
    (outcome,) = await ChatHandler(store).commit([first, second])
    assert (outcome.user_id, outcome.session_id, outcome.causes) == ("ada", "s1", (first.event_id, second.event_id))


async def test_loggers_at_once_do_not_deadlock(store: Store, owner: asyncpg.Connection) -> None:
    async def work(logger: int) -> None:
        numbers = range(20) if logger % 2 else range(19, -1, -1)
        for turn in range(8):
            group: list[MessageEvent | Edit] = []
            for number in numbers:
                about = {"session_id": f"s{number}"}
                group.append(posted(f"l{logger}-{turn}", turn, **about))
                group.append(changed(turn, None, f"s{number}", labels=(f"l{logger}", f"t{turn}")))
                group.append(opened(turn, **about))
            await ChatHandler(store).commit(group)

    await asyncio.gather(*map(work, range(4)))
    assert await owner.fetchval("SELECT min(message_count) FROM chat.sessions") == 32
    assert len(await labels(owner)) == 40
