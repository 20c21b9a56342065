"""Messages that a client stores itself: one message is one row, whoever stores it first."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import aio_pika
import asyncpg
import httpx2
import pytest

from services.gateway.sessions.messages.ends import MOST_POSTED
from services.gateway.turns.stored import posted
from services.gateway.turns.stored.claims import Claim, Claimed, lock_of
from services.gateway.turns.turn import Turn
from shared.database import Connection, borrowed
from shared.events import MessageEvent, decode
from shared.ids import new_id
from shared.topology import LOGGER_CHAT
from tests.connected.gateway.stage import Log, Rows, Stage, ask, open_stage
from tests.connected.locks import until_blocked
from tests.pure.gateway.samples import claim, minutes
from tests.waiting import PATIENCE_S, until

PATH = "/api/chat/sessions/s1/messages"


async def post(stage: Stage, key: str | None = None, user: str = "ann", **message: Any) -> httpx2.Response:
    headers = stage.as_user(user) | {"Prefer": "respond-async"} | ({"Idempotency-Key": key} if key else {})
    return await stage.http.post(PATH, json={"role": "user", **message}, headers=headers)


async def known_end(stage: Stage, content: str, **message: Any) -> str:
    """Post a message, and return its id once this gateway knows that it is the session's end."""
    answer = await post(stage, content=content, **message)
    assert answer.status_code == 202, answer.text

    async def is_known() -> bool:
        return ("ann", "s1") in stage.recent_ends

    await until(is_known, "the end to be known")
    return str(answer.json()["message"]["id"])


async def said(stage: Stage, user: str = "ann") -> list[tuple[str, str]]:
    answer = await stage.get(PATH, user)
    return [(message["role"], message["content"]) for message in answer.json()["messages"]] if answer.is_success else []


async def test_a_message_is_accepted_before_it_is_stored_and_is_in_its_session(gateway: Stage) -> None:
    first = await post(gateway, content="hello", id="m1", metadata={"a": 1})
    second = await post(gateway, content="hi", role="assistant", model="gpt-x")
    assert (first.status_code, second.status_code) == (202, 202)
    one, two = first.json()["message"], second.json()["message"]
    assert (one["id"], one["stored"], one["metadata"], one["parent_id"]) == ("m1", False, {"a": 1}, None)
    assert (two["role"], two["model"], two["parent_id"], two["parts"]) == (
        "assistant",
        "gpt-x",
        "m1",
        [{"type": "text", "text": "hi"}],
    )
    assert await said(gateway) == [("user", "hello"), ("assistant", "hi")]
    shown = (await gateway.get("/api/chat/sessions/s1")).json()["session"]
    assert (shown["message_count"], shown["last_message"]) == (2, "hi")


async def test_who_waits_is_told_that_it_is_stored(gateway: Stage, log: Log) -> None:
    hears = asyncio.Event()
    message_id = new_id().hex
    hearing = asyncio.create_task(store_what_is_told(gateway, log, hears, message_id))
    await hears.wait()
    answer = await gateway.post(PATH, {"role": "user", "content": "hello", "id": message_id})
    await hearing
    assert (answer.status_code, answer.json()["message"]["stored"]) == (201, True)


async def store_what_is_told(stage: Stage, log: Log, hears: asyncio.Event, message_id: str) -> None:
    """Store this message as a logger would; others are there from before."""
    async with await aio_pika.connect(stage.settings.amqp_url) as connection, asyncio.timeout(PATIENCE_S):
        queue = await (await connection.channel()).get_queue(LOGGER_CHAT.name)
        await queue.purge()
        async with queue.iterator() as messages:
            hears.set()
            async for message in messages:
                event = decode(message.type, message.body)
                await message.ack()
                if isinstance(event, MessageEvent) and event.message_id == message_id:
                    await log(event)
                    return


async def test_the_same_id_is_the_same_message_and_a_user_s_other_text_an_edit(gateway: Stage) -> None:
    await post(gateway, content="hello", id="m1")
    again = await post(gateway, content="hello", id="m1")
    edit = await post(gateway, content="hello you", id="m1")
    repeated = await post(gateway, content="hello you", id="m1")
    assert [answer.status_code for answer in (again, edit, repeated)] == [200, 202, 200]
    assert again.json()["message"]["id"] == "m1"
    assert edit.json()["message"]["id"] == repeated.json()["message"]["id"] != "m1"
    assert edit.json()["message"]["parent_id"] is None
    answer = await post(gateway, content="an answer", id="a1", role="assistant")
    other = await post(gateway, content="another spelling of it", id="a1", role="assistant")
    assert (answer.status_code, other.status_code, other.json()["message"]["content"]) == (202, 200, "an answer")


async def test_without_an_id_two_of_one_text_are_two_and_a_key_makes_them_one(gateway: Stage) -> None:
    for _ in range(2):
        assert (await post(gateway, content="ok")).status_code == 202
    keyed = [await post(gateway, content="well", key="k1") for _ in range(2)]
    assert [answer.status_code for answer in keyed] == [202, 200]
    assert keyed[0].json()["message"]["id"] == keyed[1].json()["message"]["id"]
    assert (await post(gateway, content="other", key="k1")).status_code == 422
    assert len(await said(gateway)) == 3


async def test_a_message_whose_commit_nobody_has_confirmed_is_accepted(
    gateway: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = posted._take_posted

    async def take_and_lose(db: Connection, claims: Sequence[Claim]) -> dict[UUID, Claimed]:
        await take(db, claims)
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(posted, "_take_posted", take_and_lose)
    assert (await post(gateway, content="hello")).status_code == 202
    assert await said(gateway) == [("user", "hello")]


async def test_a_message_that_was_refused_is_not_there_later(gateway: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claim was given up while it waited in the database, which does not notice that; its client sends it again."""
    monkeypatch.setattr(posted, "borrowed", lambda pool, deadline_s=1.0: borrowed(pool, deadline_s))
    holding = await asyncpg.connect(gateway.settings.database_url)
    await holding.execute("SELECT pg_advisory_lock($1)", lock_of("ann", "s1"))
    posting = asyncio.create_task(post(gateway, content="hello"))
    await until_blocked(holding)
    assert (await posting).status_code == 503
    await holding.execute("SELECT pg_advisory_unlock($1)", lock_of("ann", "s1"))

    async def over() -> bool:
        await holding.execute("SELECT pg_stat_clear_snapshot()")
        claiming = "SELECT FROM pg_stat_activity WHERE query LIKE '%take_posted%' AND pid <> pg_backend_pid()"
        return bool(await holding.fetchval(f"SELECT NOT EXISTS ({claiming} AND state = 'active')"))

    await until(over, "the claim to come late")
    await holding.close()
    assert await said(gateway) == []
    assert (await post(gateway, content="hello")).status_code == 202
    assert await said(gateway) == [("user", "hello")]


async def test_a_message_replies_to_the_one_that_it_names(gateway: Stage) -> None:
    await post(gateway, content="one", id="m1")
    await post(gateway, content="two", id="m2")
    branch = await post(gateway, content="instead of two", parent_id="m1")
    assert branch.json()["message"]["parent_id"] == "m1"
    assert (await post(gateway, content="lost", parent_id="nowhere")).status_code == 404


async def test_many_at_once_are_all_kept_each_after_another(gateway: Stage) -> None:
    answers = await asyncio.gather(*(post(gateway, content=f"message {number}") for number in range(6)))
    kept = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 409}, "who cannot follow is told so"
    messages = (await gateway.get(PATH)).json()["messages"]
    assert len(messages) == len(kept) > 0
    assert [message["parent_id"] for message in messages] == [None, *(message["id"] for message in messages[:-1])]


async def test_whoever_replies_at_a_known_end_replies_to_what_was_said_there_since(gateway: Stage) -> None:
    async with open_stage(gateway.settings) as other:
        await known_end(gateway, "0")
        for number, stage in enumerate((gateway, other, gateway, other, other), start=1):
            assert (await post(stage, content=str(number))).status_code == 202
    messages = (await gateway.get(PATH)).json()["messages"]
    assert [message["content"] for message in messages] == ["0", "1", "2", "3", "4", "5"]
    assert [message["parent_id"] for message in messages] == [None, *(message["id"] for message in messages[:-1])]


async def test_a_known_end_is_none_where_a_turn_has_begun_since(gateway: Stage) -> None:
    message_id = await known_end(gateway, "hello")
    at = datetime.fromisoformat((await gateway.get(PATH)).json()["messages"][0]["created_at"])
    wanted = claim("next", user_id="ann", session_id="s1", known_until=at)
    running = await gateway.store.claim(wanted)
    assert isinstance(running, Turn), "a turn does know of what clients store"
    beside = await post(gateway, content="beside it")
    assert beside.json()["message"]["parent_id"] == running.question.message_id != message_id
    assert (await post(gateway, content="next")).status_code == 200, "a copy of the question"


async def test_a_copy_of_the_newest_turn_is_that_however_many_messages_were_stored_since(
    gateway: Stage, rows: Rows
) -> None:
    await ask(gateway, "s1", "ann", "what is new?")
    await rows.run(
        """
        INSERT INTO gateway.turns (turn_id, user_id, session_id, body_hash, owner, state, lease_until, correlation_id,
            model, provider, question, asked_at)
        SELECT gen_random_uuid(), 'ann', 's1', '', '', 'posted', now(), gen_random_uuid(), '', '',
            jsonb_build_object('message_id', 'm' || n, 'content', 'more'), clock_timestamp() + n * interval '1 ms'
        FROM generate_series(1, $1) AS n
        """,
        MOST_POSTED + 1,
    )
    assert (await post(gateway, content="what is new?")).status_code == 200
    other = await post(gateway, content="what else is new?")
    assert (other.status_code, other.json()["message"]["parent_id"]) == (202, f"m{MOST_POSTED + 1}")


async def test_a_deleted_session_refuses_at_once_also_where_its_end_is_known(gateway: Stage) -> None:
    await known_end(gateway, "hello")
    assert (await gateway.call("DELETE", "/api/chat/sessions/s1")).status_code in (202, 204)
    assert (await post(gateway, content="again")).status_code == 404


async def test_a_known_end_of_which_nothing_is_left_is_the_end_of_nothing(gateway: Stage, rows: Rows) -> None:
    await known_end(gateway, "hello")
    await rows.fetch("DELETE FROM gateway.turns")
    assert (await post(gateway, content="anew")).json()["message"]["parent_id"] is None


async def test_a_key_makes_two_messages_one_also_at_a_known_end(gateway: Stage) -> None:
    await known_end(gateway, "hello")
    first = await known_end(gateway, "well", key="k1")
    again = await post(gateway, content="well", key="k1")
    assert (again.status_code, again.json()["message"]["id"]) == (200, first)
    assert len(await said(gateway)) == 2


async def test_a_deleted_session_takes_nothing_and_a_stranger_s_is_another(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", deleted_at=minutes(1))
    assert (await post(gateway, content="hello")).status_code == 404
    assert (await post(gateway, content="mine", user="bob")).status_code == 202
    assert await said(gateway, "bob") == [("user", "mine")]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"content": "a\x00b"}, 422),
        ({"content": "x", "role": "robot"}, 422),
        ({"content": 5}, 422),
        ({}, 422),
        ({"content": "x", "id": "no spaces"}, 422),
        ({"content": "x", "surprise": 1}, 422),
        ({"content": "x", "metadata": {"big": "x" * 70_000}}, 413),
        ({"content": "x", "parts": [{"type": "tool-x", "output": "x" * 70_000}]}, 413),
    ],
)
async def test_what_cannot_be_kept_is_refused(gateway: Stage, message: dict[str, Any], status: int) -> None:
    assert (await post(gateway, **message)).status_code == status
    assert await said(gateway) == []
