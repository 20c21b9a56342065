"""`POST /api/chat` over HTTP: its three answers, its cookie, and what it refuses."""

from typing import Any

import httpx2
import pytest

from services.gateway.chat.running import RunningChat
from shared.events import MessagePosted
from tests.pure.gateway.samples import facts, minutes, stored
from tests.service.gateway.fakes import World

PATH = "/api/chat"


@pytest.fixture
def world() -> World:
    return World()


async def chat(world: World, body: Any, user: str | None = "u1", **request: Any) -> httpx2.Response:
    async with world.client(user) as client:
        return await client.post(PATH, json=body, **request)


async def test_the_default_answer_is_a_ui_message_stream(world: World) -> None:
    answer = await chat(world, {"id": "s1", "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}]})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert '"delta":"hi"' in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_user_messages_are_answered_in_plain_text(world: World) -> None:
    answer = await chat(world, {"userMessages": ["hi"]})
    assert (answer.headers["content-type"], answer.text) == ("text/plain; charset=utf-8", "hi")


async def test_without_streaming_the_answer_is_one_record(world: World) -> None:
    answer = await chat(world, {"message": "hi", "stream": False})
    record = answer.json()
    assert (record["message"]["content"], record["session_tag"]) == ("hi", None)
    assert record["session_id"] == answer.headers["x-session-id"]
    assert record["usage"].keys() == {"input_tokens", "output_tokens", "usage_source"}
    assert record["finish_reason"] == record["message"]["metadata"]["finish_reason"] == "stop"


async def test_every_form_names_its_session_and_turn_and_keeps_the_session_in_a_cookie(world: World) -> None:
    for form in ({"stream": False}, {}, {"userMessages": ["hi"], "message": None}):
        answer = await chat(world, {"message": "hi", "session_id": "s1", **form})
        assert answer.headers["x-session-id"] == "s1"
        assert answer.headers["x-turn-id"] == str(world.turns[-1].turn_id)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("session_id=s1;")
        assert all(said in cookie for said in ("HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Lax"))
        assert "Secure" not in cookie


async def test_the_cookie_continues_the_session_of_a_browser(world: World) -> None:
    async with world.client("u1") as client:
        first = await client.post(PATH, json={"message": "one"})
        second = await client.post(PATH, json={"message": "two"})
    assert first.headers["x-session-id"] == second.headers["x-session-id"]


async def test_a_deleted_session_is_not_found_by_its_name_and_left_behind_by_a_cookie(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(), deleted=True)]
    named = await chat(world, {"message": "hi", "session_id": "s1"})
    kept = await chat(world, {"message": "hi"}, headers={"Cookie": "session_id=s1"})
    assert (named.status_code, kept.status_code) == (404, 200)
    assert kept.headers["x-session-id"] != "s1"


async def test_a_tag_that_cannot_be_read_costs_nobody_the_answer(world: World) -> None:
    world.reads_fail = True
    answer = await chat(world, {"message": "hi", "stream": False})
    assert answer.status_code == 200
    assert (answer.json()["message"]["content"], answer.json()["session_tag"]) == ("hi", None)


async def test_a_model_that_says_nothing_is_a_problem_that_names_the_turn(world: World) -> None:
    world.model_fails = True
    answer = await chat(world, {"message": "hi", "session_id": "s1", "stream": False})
    assert (answer.status_code, answer.json()["code"]) == (503, "model_away")
    assert (answer.json()["session_id"], answer.json()["turn_id"]) == ("s1", str(world.turns[0].turn_id))


async def test_a_model_that_asks_for_a_tool_is_a_problem_that_another_try_does_not_mend(world: World) -> None:
    world.model_fails, world.model_ends = True, "tool_calls"
    answer = await chat(world, {"message": "hi", "stream": False})
    assert (answer.status_code, answer.json()["code"]) == (502, "tool_not_offered")
    assert "retry-after" not in answer.headers


async def test_who_is_refused_after_the_claim_learns_the_session_all_the_same(world: World) -> None:
    world.database_leaves = True
    answer = await chat(world, {"message": "hi", "stream": False})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_away")
    check_named(world, answer)


async def test_who_gets_no_answer_learns_the_session_all_the_same(world: World) -> None:
    world.model_fails = True
    check_named(world, await chat(world, {"message": "hi", "stream": False}))


def check_named(world: World, answer: httpx2.Response) -> None:
    turn = world.turns[-1]
    named = (turn.session_id, str(turn.turn_id))
    assert (answer.headers["x-session-id"], answer.headers["x-turn-id"]) == named
    assert answer.headers["set-cookie"].startswith(f"session_id={turn.session_id};")
    assert (answer.json()["session_id"], answer.json()["turn_id"]) == named


async def test_an_error_that_nobody_foresaw_names_the_session_and_nothing_of_itself(world: World) -> None:
    world.turns_break = True
    answer = await chat(world, {"message": "hi", "stream": False})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["x-session-id"] == world.turns[-1].session_id


async def test_a_question_carries_the_request_s_correlation_id(world: World) -> None:
    request_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    await chat(world, {"message": "hi", "stream": False}, headers={"X-Request-Id": request_id})
    (posted,) = world.published
    assert isinstance(posted, MessagePosted)
    assert str(posted.correlation_id) == request_id


async def test_without_a_broker_chat_goes_on(world: World) -> None:
    world.broker_away = True
    answer = await chat(world, {"message": "hi", "stream": False})
    assert (answer.status_code, answer.json()["message"]["content"]) == (200, "hi")


async def test_who_asks_too_often_is_told_when_to_come_again(world: World) -> None:
    world.settings = world.settings.model_copy(update={"turns_per_minute": 1})
    await chat(world, {"message": "one"})
    answer = await chat(world, {"message": "two"})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert int(answer.headers["retry-after"]) > 0


async def test_where_visitors_are_not_allowed_a_stranger_is_asked_who_they_are(world: World) -> None:
    world.settings = world.settings.model_copy(update={"allow_visitors": False})
    answer = await chat(world, {"message": "hi"}, user=None)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert world.published == []


async def test_a_page_of_another_site_may_not_speak_with_a_visitors_cookie(world: World) -> None:
    answer = await chat(world, {"message": "hi"}, user=None, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, world.published) == (403, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "message"),
        ({"message": ""}, "message"),
        ({"message": 5}, "message"),
        ({"message": {"id": 5}}, "message.id"),
        ({"message": "hi", "stream": "no", "surprise": 1}, "stream"),
        ({"message": {"content": "hi", "role": "system"}}, "role"),
        ({"messages": [{"role": "user", "parts": "hi"}]}, "messages.0.parts"),
        ({"message": {"parts": [{}]}}, "parts"),
        ({"message": {"parts": []}}, "message"),
        ({"message": {"parts": [{"type": "data-map", "data": {}}]}}, "message"),
        ({"message": {"parts": [{"type": "file", "url": "https://x.test/a.pdf"}]}}, "parts"),
        ({"message": {"content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {}}]}}, "parts"),
        ({"message": {"parts": [{"type": 5}]}}, "parts"),
        ({"message": {"parts": [{"type": "text", "text": None}]}}, "parts"),
        ({"message": "hi", "session_id": "a b"}, "session_id"),
        ({"message": "hi", "session_id": ""}, "session_id"),
        ({"message": "hi", "model": " "}, "model"),
        ({"message": "hi", "model": "x" * 256}, "model"),
        ({"message": "hi", "parent_id": "../x"}, "parent_id"),
        ({"message": "hi", "trigger": "explode"}, "trigger"),
    ],
)
async def test_what_is_refused_is_named(world: World, body: Any, field: str) -> None:
    answer = await chat(world, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert world.published == []


async def test_a_form_may_not_chat(world: World) -> None:
    async with world.client() as client:
        answer = await client.post(PATH, data={"message": "hi"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_of_ten_megabytes_is_refused(world: World) -> None:
    answer = await chat(world, {"message": "x" * 10_000_000})
    assert (answer.status_code, answer.json()["code"], world.published) == (413, "too_large", [])


async def test_somebody_elses_session_is_another_one(world: World) -> None:
    await chat(world, {"message": "mine", "session_id": "s1"})
    await chat(world, {"message": "theirs", "session_id": "s1"}, user="u2")
    assert [(turn.user_id, turn.question.parent_id) for turn in world.turns] == [("u1", None), ("u2", None)]
    assert minutes(0) == world.turns[0].asked_at


async def test_who_looks_at_turns_too_often_is_told_when_to_come_again(world: World) -> None:
    world.settings = world.settings.model_copy(update={"turns_per_minute": 2})
    await chat(world, {"message": "hi", "session_id": "s1"})
    async with world.client("u1") as client:
        looks = [await client.get("/api/chat/s1/stream"), await client.post("/api/chat/s1/stop")]
        refused = [await client.get("/api/chat/s1/stream"), await client.post("/api/chat/s1/stop")]
    assert {look.status_code for look in looks} == {204}
    assert {answer.status_code for answer in refused} == {429}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


async def test_a_question_for_which_there_is_no_room_is_refused_before_it_is_claimed(world: World) -> None:
    world.settings = world.settings.model_copy(
        update={"turn_bytes_at_once": 2**20, "max_body_bytes": 100_000, "context_bytes": 1000}
    )
    async with world.client("u1") as client:
        room = world.api().state.handed[RunningChat].room
        with room.held("user u1", 800_000):
            large = {"message": "word " * 19_000, "session_id": "s1"}
            refused = await client.post("/api/chat", json=large)
            small = await client.post("/api/chat", json={"message": "hi", "session_id": "s2"})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert small.status_code == 200
    assert {turn.session_id for turn in world.turns} == {"s2"}
