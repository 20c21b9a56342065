"""Visitors who sign in keep their chats: two gateways on real servers, and rows that stay where they are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.account.one_by_one import one_by_one
from services.gateway.account.visitors.cookies import VisitorToken, new_visitor
from services.gateway.account.visitors.store import MOST_VISITORS
from shared.database import open_pool
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.waiting import until

SESSIONS = "/api/chat/sessions"


@pytest.fixture(scope="module")
async def other(read_stage: Stage) -> AsyncIterator[Stage]:
    async with open_stage(read_stage.settings) as stage:
        yield stage


def cookie(visitor: VisitorToken) -> dict[str, str]:
    return {"Cookie": f"visitor={visitor.value}"}


async def listed(stage: Stage, headers: dict[str, str]) -> list[str]:
    stage.http.cookies.clear()
    answer = await stage.http.get(SESSIONS, headers=headers)
    assert answer.status_code == 200, answer.text
    return sorted(session["id"] for session in answer.json()["sessions"])


async def visitor_with_a_chat(stage: Stage, rows: Rows, session_id: str) -> VisitorToken:
    visitor = new_visitor(stage.settings)
    await rows.session(session_id, user=visitor.visitor_id)
    await rows.message(session_id, f"m-{session_id}", 1, user=visitor.visitor_id, content="from KTEB")
    return visitor


async def waits_or_is_done(rows: Rows, task: "asyncio.Task[Any]") -> bool:
    (row,) = await rows.fetch("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return task.done() or row["count"] > 0


async def test_every_device_and_gateway_shows_what_a_visitor_said_before_they_signed_in(
    gateway: Stage, other: Stage, rows: Rows
) -> None:
    ann, bob = gateway.as_user("ann"), gateway.as_user("bob")
    one, two = [await visitor_with_a_chat(gateway, rows, session_id) for session_id in ("one", "two")]
    assert await listed(other, ann) == []
    assert await listed(gateway, ann | cookie(one)) == ["one"]
    assert "two" in await listed(other, ann | cookie(two))
    for stage in (gateway, other):

        async def both(stage: Stage = stage) -> bool:
            return await listed(stage, ann) == ["one", "two"]

        assert await until(both, "a gateway to hear of the other's link")
    messages = (await gateway.http.get(f"{SESSIONS}/one/messages", headers=ann)).json()["messages"]
    assert [message["content"] for message in messages] == ["from KTEB"]
    assert await listed(gateway, bob) == await listed(other, bob | cookie(one)) == []
    assert (await other.http.get(f"{SESSIONS}/one", headers=bob | cookie(one))).status_code == 404
    owners = await rows.fetch("SELECT user_id FROM chat.sessions ORDER BY session_id")
    assert [row["user_id"] for row in owners] == [one.visitor_id, two.visitor_id]


async def test_the_cookie_alone_opens_nothing_at_any_gateway(gateway: Stage, other: Stage, rows: Rows) -> None:
    visitor = await visitor_with_a_chat(gateway, rows, "one")
    token = {"Authorization": f"Bearer {visitor.value}"}
    assert await listed(gateway, cookie(visitor)) == await listed(other, cookie(visitor)) == ["one"]
    assert await listed(gateway, gateway.as_user("ann") | cookie(visitor)) == ["one"]
    assert await listed(gateway, cookie(visitor)) == []
    assert (await gateway.http.get("/api/me", headers=token)).status_code == 401

    async def shut() -> bool:
        return await listed(other, cookie(visitor)) == []

    assert await until(shut, "the other gateway to hear of it")
    other.http.cookies.clear()
    assert (await other.http.get(f"{SESSIONS}/one", headers=cookie(visitor))).status_code == 404


async def test_what_is_added_to_such_a_session_is_its_owners_and_what_is_new_the_users(
    gateway: Stage, other: Stage, rows: Rows
) -> None:
    ann = gateway.as_user("ann")
    visitor = await visitor_with_a_chat(gateway, rows, "one")
    assert await listed(gateway, ann | cookie(visitor)) == ["one"]

    async def seen() -> bool:
        return await listed(other, ann) == ["one"]

    assert await until(seen, "the other gateway to hear of it")
    for session_id in ("one", "new"):
        said = {"session_id": session_id, "message": "hello", "stream": False}
        await other.http.post("/api/chat", json=said, headers=ann)
    turns = await rows.fetch("SELECT session_id, user_id FROM gateway.turns ORDER BY session_id DESC")
    assert [tuple(row) for row in turns] == [("one", visitor.visitor_id), ("new", "ann")]


async def test_an_erasure_of_the_user_takes_the_visitors_with_it(gateway: Stage, other: Stage, rows: Rows) -> None:
    eve = gateway.as_user("eve")  # whom no gateway knows from a test before
    visitor = await visitor_with_a_chat(gateway, rows, "one")
    kept = await visitor_with_a_chat(gateway, rows, "bobs")
    assert await listed(gateway, eve | cookie(visitor)) == ["one"]
    assert await listed(gateway, gateway.as_user("bob") | cookie(kept)) == ["bobs"]
    assert (await other.http.delete("/api/me/data", headers=eve)).status_code == 202
    erased = await rows.fetch("SELECT user_id FROM gateway.erasures ORDER BY user_id")
    assert [row["user_id"] for row in erased] == ["eve", visitor.visitor_id]
    assert await listed(gateway, eve) == await listed(other, eve) == []
    assert await listed(gateway, gateway.as_user("bob")) == ["bobs"]


async def test_of_two_users_who_sign_in_at_one_browser_at_once_one_has_its_chats(
    gateway: Stage, other: Stage, rows: Rows
) -> None:
    visitor = await visitor_with_a_chat(gateway, rows, "one")
    seen: dict[str, Any] = {}
    for stage, user in ((gateway, "ann"), (other, "bob")):
        seen[user] = await listed(stage, gateway.as_user(user) | cookie(visitor))
    assert seen == {"ann": ["one"], "bob": []}
    (row,) = await rows.fetch("SELECT user_id FROM gateway.linked_visitors")
    assert row["user_id"] == "ann"


async def test_a_user_was_a_hundred_visitors_at_most_and_reads_the_next_by_its_cookie(
    gateway: Stage, other: Stage, rows: Rows
) -> None:
    await rows.run(
        "INSERT INTO gateway.linked_visitors (visitor_id, user_id)"
        " SELECT 'visitor_' || n, 'zoe' FROM generate_series(1, $1::integer) AS n",
        MOST_VISITORS,
    )
    visitor = await visitor_with_a_chat(gateway, rows, "one")
    zoe = gateway.as_user("zoe")
    assert await listed(gateway, zoe | cookie(visitor)) == ["one"]
    assert await listed(other, zoe) == []
    assert await listed(other, cookie(visitor)) == ["one"]


async def test_of_visitors_who_sign_in_at_once_no_more_are_linked_than_a_user_may_have_been(
    gateway: Stage, rows: Rows
) -> None:
    link = "INSERT INTO gateway.linked_visitors (visitor_id, user_id) SELECT 'visitor_' || n, 'zoe'"
    await rows.run(f"{link} FROM generate_series(2, $1::integer) AS n", MOST_VISITORS)
    visitor = new_visitor(gateway.settings)
    async with open_pool(gateway.settings.gateway_database_url, "test", 2) as pool:
        async with one_by_one(pool, "visitors", "zoe") as db:  # as another gateway does, and is not done
            await db.execute(f"{link} FROM generate_series(1, 1) AS n")
            asked = asyncio.create_task(gateway.http.get("/api/me", headers=gateway.as_user("zoe") | cookie(visitor)))
            await until(lambda: waits_or_is_done(rows, asked), "the other to wait")
        assert (await asked).status_code == 200
    (row,) = await rows.fetch("SELECT count(*) FROM gateway.linked_visitors")
    assert row["count"] == MOST_VISITORS


async def test_a_linked_session_that_was_deleted_does_not_begin_anew(gateway: Stage, rows: Rows) -> None:
    ann = gateway.as_user("ann")
    visitor = await visitor_with_a_chat(gateway, rows, "one")
    assert await listed(gateway, ann | cookie(visitor)) == ["one"]
    assert (await gateway.http.delete(f"{SESSIONS}/one", headers=ann)).status_code == 202
    said = {"session_id": "one", "message": "hello", "stream": False}
    assert (await gateway.http.post("/api/chat", json=said, headers=ann)).status_code == 404
    assert await rows.fetch("SELECT FROM gateway.turns") == []
