"""What the logger keeps of a conversation, on a real PostgreSQL with the logger's own role."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta, timezone
from typing import Any

import asyncpg
import pytest

from services.logger.handlers import ChatHandler
from services.logger.store import Store
from shared.database import Fault, fault_of, open_pool
from shared.errors import Unstorable
from shared.events import Client, DeadLetterReplayed, MessageEvent
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.pure.logger.samples import answered, at, posted, trace

pytestmark = pytest.mark.no_broker


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_pool(settings.logger_database_url, "test", size=4) as pool:
        yield Store(pool)


async def rows(owner: asyncpg.Connection, table: str) -> list[dict[str, Any]]:
    found = await owner.fetch(f"SELECT * FROM chat.{table} AS r ORDER BY r")  # noqa: S608 - a name from this file
    return [dict(row) for row in found]


async def session(owner: asyncpg.Connection, session_id: str = "s1") -> dict[str, Any]:
    found = await owner.fetchrow("SELECT * FROM chat.sessions WHERE session_id = $1", session_id)
    assert found is not None
    return dict(found)


async def contents(owner: asyncpg.Connection) -> list[str]:
    return [row["content"] for row in await owner.fetch("SELECT content FROM chat.messages ORDER BY created_at")]


async def keep(store: Store, *messages: MessageEvent) -> None:
    await store.store_chat(messages, ())


async def test_message_is_stored_whole(store: Store, owner: asyncpg.Connection) -> None:
    parts = ({"type": "text", "text": "hi"}, {"type": "list", "items": [1, [2, 3]]})
    event = posted(
        parts=parts,
        parent_id="m0",
        client_message_id="c1",
        turn_id=new_id(),
        model="gpt",
        metadata={"edited": True},
    )
    await keep(store, event)
    (row,) = await rows(owner, "messages")
    told = event.model_dump(include=set(row), exclude={"parts", "metadata"})
    assert {name: row[name] for name in told} == told
    assert (row["status"], row["error"], row["revision"], row["rank"]) == ("complete", None, 0, -1)
    assert await owner.fetchval("SELECT parts = $1::text::jsonb FROM chat.messages", _json(parts))
    assert await owner.fetchval("SELECT metadata->'edited' = 'true' FROM chat.messages")


async def test_from_where_messages_came_is_stored_in_any_order(store: Store, owner: asyncpg.Connection) -> None:
    said = [
        posted("m1", 1, client={"address": "203.0.113.0/24"}),
        posted("m2", 2),
        posted("m3", 3, client={"address": "198.51.100.0/24", "user_agent": "curl"}),
        answered("a4", 4),
    ]
    await keep(store, said[3], said[2])
    await keep(store, said[1], said[0])
    await keep(store, said[0], said[2])
    west = at(2).astimezone(timezone(timedelta(hours=-9)))
    await keep(store, said[1].model_copy(update={"created_at": west, "client": Client(address="192.0.2.0/24")}))
    stored = await owner.fetch(
        "SELECT client ->> 'address', client ->> 'user_agent' FROM chat.messages ORDER BY message_id"
    )
    assert [tuple(row) for row in stored] == [
        (None, None), ("203.0.113.0/24", None), (None, None), ("198.51.100.0/24", "curl"),
    ]  # fmt: skip
    row = await session(owner)
    assert row["first_client"] == ["2026-11-21T12:00:01+00:00", "203.0.113.0/24", ""]
    assert row["last_client"] == ["2026-11-21T12:00:03+00:00", "198.51.100.0/24", "curl"]


async def test_answer_is_stored_with_its_trace(store: Store, owner: asyncpg.Connection) -> None:
    told = trace(
        ttft_ms=12.5,
        duration_ms=900.0,
        input_tokens=7,
        output_tokens=9,
        usage_source="reported",
        upstream="east",
        error_class="429",
        w3c_trace_id="0af7651916cd43dd8448eb211c80319c",
        cost="0.000000123456789012",
        currency="EUR",
    )
    event = answered(
        status="failed",
        error="the model said no",
        model="gpt",
        helper="broker",
        turn_id=new_id(),
        trace=told,
        accepted_at=at(0.5),
    )
    await keep(store, event)
    (message,) = await rows(owner, "messages")
    assert (message["role"], message["status"], message["error"]) == ("assistant", "failed", "the model said no")
    assert (message["revision"], message["rank"], message["turn_id"]) == (0, 1, event.turn_id)
    (row,) = await rows(owner, "traces")
    assert {name: row[name] for name in told.model_dump()} == told.model_dump()
    assert (row["user_id"], row["session_id"], row["message_id"]) == ("ada", "s1", "a1")
    assert (row["turn_id"], row["event_id"]) == (event.turn_id, event.event_id)
    assert (row["helper"], row["accepted_at"], row["source"]) == ("broker", at(0.5), "turn")


async def test_first_messages_make_their_session(store: Store, owner: asyncpg.Connection) -> None:
    question = posted(second=1, model="gpt", project_id="p", helper="h", content="Teterboro to Aspen?")
    await keep(store, answered(second=2, content="Certainly.", model="gpt"), question)
    row = await session(owner)
    assert (row["user_id"], row["project_id"], row["helper"], row["model"]) == ("ada", "p", "h", "gpt")
    assert (row["title"], row["title_source"], row["titled_at"]) == ("Teterboro to Aspen?", "message", at(1))
    assert (row["message_count"], row["last_message"], row["last_message_at"]) == (2, "Certainly.", at(2))
    assert (row["created_at"], row["last_activity_at"]) == (at(1), at(2))


async def test_repeated_group_changes_nothing(store: Store, owner: asyncpg.Connection) -> None:
    group = (posted(), answered(trace=trace()), posted("m2", 3))
    await keep(store, *group)
    before = [await rows(owner, table) for table in ("sessions", "messages", "traces")]
    for repeated in (group, group[::-1], group[1:2] * 3):
        await keep(store, *repeated)
    assert [await rows(owner, table) for table in ("sessions", "messages", "traces")] == before


async def test_message_twice_in_one_group_counts_once(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted(), posted())
    assert (await session(owner))["message_count"] == 1


async def test_session_id_of_somebody_else_is_another_session(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted(content="mine"), posted(user_id="eve", content="hers"))
    counts = await owner.fetch("SELECT user_id, message_count, title FROM chat.sessions ORDER BY user_id")
    assert [tuple(row) for row in counts] == [("ada", 1, "mine"), ("eve", 1, "hers")]


async def test_known_message_is_not_changed_by_another_text(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted(content="first"))
    await keep(store, posted(content="second"))
    assert await contents(owner) == ["first"]
    row = await session(owner)
    assert (row["message_count"], row["last_message"], row["title"]) == (1, "first", "first")


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
async def test_greatest_version_of_an_answer_stays(
    store: Store, owner: asyncpg.Connection, together: bool, reverse: bool
) -> None:
    versions: list[MessageEvent] = [
        posted("a1", 1, role="assistant", content="as a client saw it"),
        answered(status="interrupted", content="cut", trace=trace(status="interrupted")),
        answered(status="complete", content="whole", trace=trace()),
        answered(status="complete", revision=1, content="goes on", trace=trace(finish_reason="stop")),
    ]
    if reverse:
        versions.reverse()
    await keep(store, posted())
    for group in [versions] if together else [[version] for version in versions]:
        await keep(store, *group)
    assert await contents(owner) == ["this is m1", "goes on"]
    row = await session(owner)
    assert (row["message_count"], row["last_message"]) == (2, "goes on")
    assert [found["finish_reason"] for found in await rows(owner, "traces")] == ["stop"]


async def test_late_message_changes_neither_preview_nor_activity(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m9", 9, content="newest"))
    await keep(store, posted("m5", 5, content="late"))
    row = await session(owner)
    assert (row["last_message"], row["last_message_at"], row["last_activity_at"]) == ("newest", at(9), at(9))
    assert (row["message_count"], row["created_at"]) == (2, at(5))


async def test_title_is_of_the_first_message_even_if_that_comes_late(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m2", 2, content="second"))
    await keep(store, posted("m3", 3, content="third"))
    await keep(store, posted("m1", 1, content="first"))
    assert (await session(owner))["title"] == "first"


async def test_title_of_the_users_own_stays(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m2", 2))
    await owner.execute("UPDATE chat.sessions SET title = 'my trip', title_source = 'user'")
    await keep(store, posted("m1", 1, content="first"), posted("m3", 3))
    row = await session(owner)
    assert (row["title"], row["title_source"]) == ("my trip", "user")


async def test_session_without_words_waits_for_its_title(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m1", 1, content=""), answered("a1", 2, content="An answer"))
    assert (await session(owner))["title"] is None
    await keep(store, posted("m3", 3, content="words"))
    assert (await session(owner))["title"] == "words"


async def test_model_is_the_one_named_last(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m2", 2, model="second"))
    await keep(store, posted("m9", 9))
    assert (await session(owner))["model"] == "second"
    await keep(store, posted("m1", 1, model="first"))
    assert (await session(owner))["model"] == "second"
    await keep(store, posted("m3", 3, model="third"))
    assert (await session(owner))["model"] == "third"


async def test_project_and_helper_are_those_it_began_with(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m1", 1, role="system"))
    await keep(store, posted("m2", 2, project_id="p", helper="h"))
    await keep(store, posted("m3", 3, project_id="other", helper="other"))
    row = await session(owner)
    assert (row["project_id"], row["helper"]) == ("p", "h")


async def test_ended_session_goes_on_with_a_newer_message(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted("m1", 1))
    await owner.execute("UPDATE chat.sessions SET ended_at = $1", at(5))
    await keep(store, posted("m2", 2))
    assert (await session(owner))["ended_at"] == at(5)
    await keep(store, posted("m6", 6))
    assert (await session(owner))["ended_at"] is None


async def test_message_of_a_deleted_session_vanishes(store: Store, owner: asyncpg.Connection) -> None:
    await owner.execute(
        """
        INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, deleted_at)
        VALUES ('ada', 's1', $1, $1, $1)
        """,
        at(0),
    )
    before = await rows(owner, "sessions")
    await keep(store, posted(second=1), answered(trace=trace()))
    await keep(store, posted(second=1), posted(session_id="s2", content="alive"))
    assert await contents(owner) == ["alive"]
    assert await rows(owner, "traces") == []
    assert (await rows(owner, "sessions"))[:1] == before


async def test_message_that_waits_for_a_deletion_vanishes(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted())
    async with owner.transaction():
        await owner.execute("UPDATE chat.sessions SET deleted_at = now()")
        await owner.execute("DELETE FROM chat.messages")
        late = asyncio.create_task(keep(store, posted("m2", 2)))
        await until_blocked(owner)
    await late
    assert await contents(owner) == []


async def test_session_without_analytics_keeps_no_trace(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted())
    await owner.execute("UPDATE chat.sessions SET analytics = false")
    await keep(store, answered(trace=trace()), answered(session_id="s2", second=3, trace=trace("t2")))
    assert len(await contents(owner)) == 3
    assert [row["trace_id"] for row in await rows(owner, "traces")] == ["t2"]


async def test_everybody_who_waits_for_an_event_is_told(store: Store, owner: asyncpg.Connection) -> None:
    question, answer, other = posted(), answered(), posted(session_id="s2")
    decision = DeadLetterReplayed(dead_letter_id=new_id(), operator="eve")
    outcomes = await ChatHandler(store).commit([question, answer, decision, other, question])
    assert [(outcome.user_id, outcome.session_id, outcome.causes) for outcome in outcomes] == [
        ("ada", "s1", (question.event_id, answer.event_id, question.event_id)),
        ("ada", "s2", (other.event_id,)),
        ("eve", None, (decision.event_id,)),
    ]


async def test_those_who_wait_for_a_message_that_vanished_are_told(store: Store, owner: asyncpg.Connection) -> None:
    await keep(store, posted())
    await owner.execute("UPDATE chat.sessions SET deleted_at = now()")
    late = posted("m2", 2)
    (outcome,) = await ChatHandler(store).commit([late])
    assert outcome.causes == (late.event_id,)


@pytest.mark.parametrize(
    "bad",
    [
        posted("bad", parts=({"type": "text", "text": "\x00"},)),
        posted("bad", metadata={"text": "\x00"}),
        answered("bad", trace=trace(ttft_ms=-1.0)),
        answered("bad", trace=trace(input_tokens=2**40)),
        answered("bad", revision=2**40),
    ],
)
async def test_value_that_postgres_refuses_is_the_messages_fault(
    store: Store, owner: asyncpg.Connection, bad: MessageEvent
) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as refused:
        await keep(store, posted(), bad)
    assert fault_of(refused.value) is Fault.MESSAGE
    assert await rows(owner, "sessions") == []


@pytest.mark.parametrize("bad", [posted("bad", parts=({"n": 2**70},)), posted("bad", metadata={"n": 2**70})])
async def test_number_beyond_json_is_the_messages_fault(
    store: Store, owner: asyncpg.Connection, bad: MessageEvent
) -> None:
    with pytest.raises(Unstorable):
        await keep(store, posted(), bad)
    assert await rows(owner, "sessions") == []


async def test_loggers_at_once_neither_deadlock_nor_miscount(store: Store, owner: asyncpg.Connection) -> None:
    def group(logger: int, number: int) -> Sequence[MessageEvent]:
        ids = range(20) if logger % 2 else range(19, -1, -1)
        mine = [posted(f"l{logger}-{number}", number, session_id=f"s{n}") for n in ids]
        shared = [answered(f"a{number}", number, session_id=f"s{n}", trace=trace(f"t{number}-{n}")) for n in ids]
        return [*mine, *shared]

    async def work(logger: int) -> None:
        for number in range(10):
            await keep(store, *group(logger, number))

    await asyncio.gather(*map(work, range(4)))
    counts = await owner.fetch(
        """
        SELECT message_count, (SELECT count(*) FROM chat.messages m WHERE m.session_id = s.session_id) AS rows
        FROM chat.sessions s
        """
    )
    assert [tuple(row) for row in counts] == [(50, 50)] * 20


async def test_loggers_that_hear_of_the_same_traces_do_not_deadlock(store: Store, owner: asyncpg.Connection) -> None:
    def group(logger: int, number: int) -> Sequence[MessageEvent]:
        ids = range(50) if logger % 2 else range(49, -1, -1)
        return [answered(f"a{number}-{n}", n, session_id=f"s{logger}", trace=trace(f"t{number}-{n}")) for n in ids]

    async def work(logger: int) -> None:
        for number in range(10):
            await keep(store, *group(logger, number))

    await asyncio.gather(*map(work, range(4)))
    assert await owner.fetchval("SELECT count(*) FROM chat.traces") == 500


def _json(parts: Sequence[dict[str, Any]]) -> str:
    return posted(parts=parts).model_dump_json(include={"parts"}).removeprefix('{"parts":').removesuffix("}")
