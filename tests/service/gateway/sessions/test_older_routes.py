"""Sessions and messages as older clients call and read them, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.account.identity import Caller
from services.gateway.sessions.messages import conversation
from services.gateway.sessions.older import routes as older_routes
from services.gateway.turns.past.history import HistoryMessage
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World


@pytest.fixture
def world() -> World:
    return World()


async def get(world: World, path: str, user: str = "u1", **query: Any) -> Any:
    async with world.client(user) as client:
        answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def said(number: int, **changes: Any) -> HistoryMessage:
    values: dict[str, Any] = {
        "message_id": f"m{number}",
        "role": "user",
        "content": f"text {number}",
        "created_at": minutes(number),
    }
    shown: dict[str, Any] = {"parts": [], "model": None, "status": "complete", "parent_id": None}
    return HistoryMessage(**{**values, **shown, **changes})


async def test_a_session_is_begun_with_a_model(world: World) -> None:
    async with world.client("u1") as client:
        made = await client.post("/api/sessions", json={"model": "sandbox-large", "sessionId": "u1"})
    assert made.status_code == 201, made.text
    record = made.json()
    session = record.pop("session")
    assert session == record
    assert session == {
        "id": session["id"],
        "userId": "u1",
        "model": "sandbox-large",
        "title": None,
        "createdAt": session["createdAt"],
        "updatedAt": session["createdAt"],
        "lastActivityAt": session["createdAt"],
        "messageCount": 0,
        "lastMessage": None,
        "stored": True,
    }
    assert session in (await get(world, "/api/sessions"))["sessions"]


async def test_a_session_is_begun_as_by_the_newer_path(world: World) -> None:
    async with world.client("u1") as client:
        first, again = [await client.post("/api/sessions", json={"model": "sandbox-small"}) for _ in range(2)]
        newer = (await client.get(f"/api/chat/sessions/{first.json()['id']}")).json()["session"]
        refused = await client.post("/api/sessions", json={"model": 1, "helper": "h"})
        world.broker_away = True
        away = await client.post("/api/sessions", json={"model": "sandbox-large"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert (newer["model"], newer["message_count"]) == ("sandbox-small", 0)
    assert {error["field"] for error in refused.json()["errors"]} == {"model", "helper"}
    assert (away.status_code, away.json()["code"]) == (503, "broker_away")


@pytest.mark.parametrize("named", ["sessionId", "session_id"])
async def test_the_id_that_a_client_keeps_must_be_its_callers_own(world: World, named: str) -> None:
    world.sessions = [facts("s1", stored=stored(1)), replace(facts("s2", stored=stored(2)), user_id="u2")]
    async with world.client("u1") as client:
        own, others = [await client.get("/api/sessions", params={named: user}) for user in ("u1", "u2")]
        begun = await client.post("/api/sessions", json={"model": "sandbox-small", named: "u2"})
    assert [session["id"] for session in own.json()["sessions"]] == ["s1"]
    for answer in (others, begun):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert world.published == []


async def test_a_visitor_who_keeps_id_and_token_lists_their_own_sessions(world: World) -> None:
    async with world.client() as client:
        visitor = (await client.post("/api/auth/visitor")).json()
        stranger = (await client.post("/api/auth/visitor", headers={"Cookie": ""})).json()
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {visitor['token']}"
        made = (await client.post("/api/sessions", json={"model": "sandbox-small"})).json()["session"]
        own = await client.get("/api/sessions", params={"sessionId": visitor["visitor_id"]})
        client.headers["Authorization"] = f"Bearer {stranger['token']}"
        others = await client.get("/api/sessions", params={"sessionId": visitor["visitor_id"]})
        messages = await client.get(f"/api/sessions/{made['id']}/messages")
    assert made["userId"] == visitor["visitor_id"] != stranger["visitor_id"]
    assert own.json() == {"sessions": [made], "next_cursor": None, "has_more": False}
    assert (others.status_code, messages.status_code) == (403, 404)


async def test_a_user_sees_with_each_session_which_of_their_identities_has_it(world: World) -> None:
    async with world.client() as client:
        visitor_id = (await client.post("/api/auth/visitor")).json()["visitor_id"]
        world.sessions = [facts("users", stored=stored(2)), replace(facts("visitors", stored=stored(1)))]
        world.sessions[1] = replace(world.sessions[1], user_id=visitor_id)
        async with world.client("u1") as user:
            listed = await user.get("/api/sessions", headers={"Cookie": f"visitor={client.cookies['visitor']}"})
    assert [(each["id"], each["userId"]) for each in listed.json()["sessions"]] == [
        ("users", "u1"),
        ("visitors", visitor_id),
    ]


async def test_a_list_shows_what_a_session_is_about_though_it_is_not_stored_yet(world: World) -> None:
    world.sessions, world.turns = [facts("s1", stored=stored(1, message_count=7))], [turn("s2", at=2, answered=3)]
    fresh, old = (await get(world, "/api/sessions"))["sessions"]
    assert (old["id"], old["messageCount"], old["lastMessage"]) == ("s1", 7, "the newest stored one")
    assert (fresh["id"], fresh["lastMessage"], fresh["stored"]) == ("s2", "answer 2", False)


async def test_without_a_limit_a_list_is_whole_and_with_one_it_has_pages(world: World) -> None:
    world.sessions = [facts(f"s{number}", stored=stored(number)) for number in range(450)]
    newest_first = [f"s{number}" for number in reversed(range(450))]
    whole = await get(world, "/api/sessions")
    assert [session["id"] for session in whole["sessions"]] == newest_first
    assert (whole["has_more"], whole["next_cursor"]) == (False, None)
    page = await get(world, "/api/sessions", limit=3)
    rest = await get(world, "/api/sessions", cursor=page["next_cursor"])
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert [session["id"] for each in (page, rest) for session in each["sessions"]] == newest_first


async def test_a_list_ends_at_the_most_that_it_has_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(older_routes, "SLICE", 3)
    world.sessions = [facts(f"s{number}", stored=stored(number)) for number in range(16)]
    first = await get(world, "/api/sessions")
    rest = await get(world, "/api/sessions", cursor=first["next_cursor"])
    assert [len(each["sessions"]) for each in (first, rest)] == [15, 1]
    assert (first["has_more"], rest["has_more"]) == (True, False)


async def test_an_empty_list_is_one(world: World) -> None:
    assert await get(world, "/api/sessions") == {"sessions": [], "next_cursor": None, "has_more": False}


async def test_messages_are_in_order_and_in_the_older_spelling(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(3))]
    world.messages = [
        said(0, role="system"),
        said(1),
        said(2, role="assistant", model="sandbox-small", status="interrupted"),
    ]
    system, user, assistant = (await get(world, "/api/sessions/s1/messages"))["messages"]
    assert (system["role"], user["role"], assistant["role"]) == ("SYSTEM", "USER", "ASSISTANT")
    assert assistant == {
        "id": "m2",
        "chatSessionId": "s1",
        "role": "ASSISTANT",
        "content": "text 2",
        "model": "sandbox-small",
        "status": "interrupted",
        "createdAt": "2020-01-01T12:02:00Z",
        "stored": True,
    }


ALL = {"/api/sessions/s1/messages": {}, "/api/chat/sessions/s1/messages": {"limit": "all"}}


@pytest.mark.parametrize("path", ALL)
async def test_a_conversation_longer_than_any_page_is_read_at_once(world: World, path: str) -> None:
    world.sessions, world.turns = [facts("s1", stored=stored(2999))], [turn("s1", at=3000, answered=3001)]
    world.messages = [said(number) for number in range(3000)]
    whole = await get(world, path, **ALL[path])
    texts = [*(f"text {number}" for number in range(3000)), "question 3000", "answer 3000"]
    assert [message["content"] for message in whole["messages"]] == texts
    assert (whole["has_more"], whole["next_cursor"]) == (False, None)


@pytest.mark.parametrize("path", ALL)
async def test_what_is_longer_still_goes_on_from_a_cursor(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "LONGEST_PAGE", 10)
    monkeypatch.setattr(conversation, "MOST_AT_ONCE", 25)
    world.sessions, world.messages = [facts("s1", stored=stored(59))], [said(number) for number in range(60)]
    seen: list[list[str]] = []
    query = ALL[path]
    while not seen or "cursor" in query:
        page = await get(world, path, **query)
        seen = [[message["id"] for message in page["messages"]], *seen]
        query = ALL[path] | ({"cursor": page["next_cursor"]} if page["has_more"] else {})
    assert [len(page) for page in seen] == [10, 25, 25]
    assert [each for page in seen for each in page] == [f"m{number}" for number in range(60)]


async def test_all_ends_where_it_is_very_much(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "LONGEST_PAGE", 2)
    monkeypatch.setattr(conversation, "MOST_BYTES", 250)
    world.sessions = [facts("s1", stored=stored(9))]
    world.messages = [said(number, content="x" * 100) for number in range(10)]
    page = await get(world, "/api/sessions/s1/messages")
    assert ([message["id"] for message in page["messages"]], page["has_more"]) == (["m6", "m7", "m8", "m9"], True)


async def test_all_that_follows_a_message_is_read_forwards(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "LONGEST_PAGE", 2)
    world.sessions, world.messages = [facts("s1", stored=stored(9))], [said(number) for number in range(10)]
    page = await get(world, "/api/chat/sessions/s1/messages", limit="all", after="m2")
    assert [message["id"] for message in page["messages"]] == [f"m{number}" for number in range(3, 10)]


@pytest.mark.parametrize("limit", ["0", "1001", "every", ""])
async def test_a_limit_that_is_none_is_refused(world: World, limit: str) -> None:
    world.sessions = [facts("s1", stored=stored(1))]
    async with world.client("u1") as client:
        for path in ("/api/sessions", *ALL):
            answer = await client.get(path, params={"limit": limit})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limit"), path


async def test_somebody_elses_messages_are_not_there(world: World) -> None:
    world.sessions, world.messages = [facts("s1", stored=stored(1))], [said(1)]
    async with world.client("u2") as client:
        answer = await client.get("/api/sessions/s1/messages")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_others_of_the_callers_readings_come_between_the_pages_of_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "LONGEST_PAGE", 10)
    world.sessions, world.messages = [facts("s1", stored=stored(29))], [said(number) for number in range(30)]
    lanes, held = world.lanes.of, list[int]()

    @asynccontextmanager
    async def counted(caller: Caller) -> AsyncIterator[None]:
        assert held.count(1) == held.count(-1), "one reading takes two lanes"
        held.append(1)
        async with lanes(caller):
            yield
        held.append(-1)

    monkeypatch.setattr(world.lanes, "of", counted)
    assert len((await get(world, "/api/sessions/s1/messages"))["messages"]) == 30
    assert held.count(1) == 1 + 3 + 1, "of the session, its pages, and what they say"
