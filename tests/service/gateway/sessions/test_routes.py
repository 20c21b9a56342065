"""Sessions, their messages and their tags over HTTP."""

import asyncio
from typing import Any

import pytest

from services.gateway.models.answers import Tag
from services.gateway.turns.past.history import HistoryMessage
from shared.events import SessionTagged
from shared.ids import new_id
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World

TAG = Tag(session_tag="chat_model_a1b2c3_001", counter=1, experiment_name=None, model_id=new_id(), model_name="small")


@pytest.fixture
def world() -> World:
    return World()


async def get(world: World, path: str, **query: Any) -> Any:
    async with world.client("u1") as client:
        answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_sessions_are_listed_page_by_page(world: World) -> None:
    world.sessions = [facts(f"s{number}", stored=stored(number)) for number in range(5)]
    seen, cursor = [], None
    for _ in range(3):
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = await get(world, "/api/chat/sessions", **query)
        seen += [session["id"] for session in page["sessions"]]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
    assert seen == ["s4", "s3", "s2", "s1", "s0"]
    assert cursor is None


async def test_a_session_that_only_runs_is_listed_and_found(world: World) -> None:
    world.turns = [turn("s1", at=1)]
    (listed,) = (await get(world, "/api/chat/sessions"))["sessions"]
    found = (await get(world, "/api/chat/sessions/s1"))["session"]
    assert listed == found
    assert (found["stored"], found["running_turn"]["turn_id"]) == (False, str(world.turns[0].turn_id))


async def test_one_session_carries_the_version_of_its_row(world: World) -> None:
    world.sessions, world.turns = [facts("s1", stored=stored(1))], [turn("s2", at=1)]
    async with world.client("u1") as client:
        first, again = [(await client.get("/api/chat/sessions/s1")).headers["etag"] for _ in range(2)]
        unstored = await client.get("/api/chat/sessions/s2")
    assert first == again
    assert "etag" not in unstored.headers


async def test_a_session_that_its_caller_has_already_is_not_sent_again(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(1))]
    async with world.client("u1") as client:

        async def status(if_none_match: str) -> int:
            answer = await client.get("/api/chat/sessions/s1", headers={"If-None-Match": if_none_match})
            assert answer.status_code != 304 or (answer.content, answer.headers["etag"]) == (b"", etag)
            return answer.status_code

        first = await client.get("/api/chat/sessions/s1")
        etag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        assert [await status(tags) for tags in (etag, f"W/{etag}", f'"x", {etag}', "*")] == [304] * 4
        assert [await status(tags) for tags in ("", '"x"', etag.strip('"'))] == [200] * 3
        world.turns = [turn("s1", at=2)]  # which changes what is shown, and not the row
        assert await status(etag) == 200


async def test_somebody_elses_session_is_not_confirmed_by_its_etag(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(1))]
    async with world.client("u2") as client:
        assert (await client.get("/api/chat/sessions/s1", headers={"If-None-Match": "*"})).status_code == 404


async def test_somebody_elses_session_is_not_found(world: World) -> None:
    world.sessions, world.turns = [facts("s1", stored=stored())], [turn("s2", at=1)]
    async with world.client("u2") as client:
        for session_id in ("s1", "s2", "unknown"):
            for path in ("", "/messages", "/tag"):
                answer = await client.get(f"/api/chat/sessions/{session_id}{path}")
                assert answer.status_code == 404, path
                assert answer.json()["detail"] == "There is no such session."
        assert (await client.get("/api/chat/sessions")).json()["sessions"] == []


def said(number: int, **changes: Any) -> HistoryMessage:
    values: dict[str, Any] = {
        "message_id": f"m{number}",
        "role": "user",
        "content": f"text {number}",
        "parts": [],
        "model": None,
        "status": "complete",
        "parent_id": None,
        "created_at": minutes(number),
    }
    return HistoryMessage(**{**values, **changes})


async def test_the_newest_messages_come_in_the_order_they_were_said(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(4))]
    world.messages = [said(number) for number in range(5)]
    path = "/api/chat/sessions/s1/messages"
    page = await get(world, path, limit=2)
    older = await get(world, path, limit=2, cursor=page["next_cursor"])
    last = await get(world, path, limit=2, cursor=older["next_cursor"])
    assert [[m["id"] for m in p["messages"]] for p in (page, older, last)] == [["m3", "m4"], ["m1", "m2"], ["m0"]]
    assert (last["has_more"], last["next_cursor"]) == (False, None)
    backwards = await get(world, path, limit=2, order="desc")
    assert [message["id"] for message in backwards["messages"]] == ["m4", "m3"]


async def test_messages_can_be_read_from_one_of_them_on(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(4))]
    world.messages = [said(number) for number in range(5)]
    path = "/api/chat/sessions/s1/messages"
    after = await get(world, path, after="m1", limit=2)
    rest = await get(world, path, after="m1", limit=2, cursor=after["next_cursor"])
    before = await get(world, path, before="m2")
    between = await get(world, path, after="m0", before="m3")
    found = [[message["id"] for message in page["messages"]] for page in (after, rest, before, between)]
    assert found == [["m2", "m3"], ["m4"], ["m0", "m1"], ["m1", "m2"]]


async def test_what_is_not_stored_yet_is_shown_with_what_is(world: World) -> None:
    fresh = turn("s1", at=2, answered=3)
    world.sessions, world.messages, world.turns = [facts("s1", stored=stored(1))], [said(0), said(1)], [fresh]
    path = "/api/chat/sessions/s1/messages"
    messages = (await get(world, path))["messages"]
    assert [(m["content"], m["stored"]) for m in messages] == [
        ("text 0", True),
        ("text 1", True),
        ("question 2", False),
        ("answer 2", False),
    ]
    assert messages[2]["parts"] == [{"type": "text", "text": "question 2"}]
    before = (await get(world, path, before=fresh.question.message_id))["messages"]
    assert [message["id"] for message in before] == ["m0", "m1"]


async def test_a_session_without_a_tag_has_no_content(world: World) -> None:
    world.sessions = [facts("s1", stored=stored())]
    async with world.client("u1") as client:
        answer = await client.get("/api/chat/sessions/s1/tag")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_tag_is_shown_at_once_where_there_is_one(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(), tag=TAG)]
    assert await get(world, "/api/chat/sessions/s1/tag", wait=5) == {
        "session_tag": "chat_model_a1b2c3_001",
        "counter": 1,
        "experiment_name": "small",
        "model_id": str(TAG.model_id),
        "model_name": "small",
    }


async def test_a_tag_that_comes_is_waited_for(world: World) -> None:
    world.sessions = [facts("s1", stored=stored())]

    asking = asyncio.create_task(get(world, "/api/chat/sessions/s1/tag", wait=10))
    await asyncio.sleep(0)
    world.sessions = [facts("s1", stored=stored(), tag=TAG)]
    while not asking.done():  # it may not have begun to wait for the first one
        world.receipts.hint(SessionTagged(user_id="u1", session_id="s1", causes=(), session_tag=TAG.session_tag))
        await asyncio.sleep(0)
    assert (await asking)["session_tag"] == TAG.session_tag
