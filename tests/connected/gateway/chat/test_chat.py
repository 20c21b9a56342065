"""`POST /api/chat` over HTTP, on a real database, broker and model stand-in."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import httpx2
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.waiting import until, until_true

LONG = 260  # messages of a session, more than a turn reads of one


@pytest.fixture
def rows(owner: asyncpg.Connection) -> Rows:
    return Rows(owner)


async def long_session(rows: Rows) -> list[str]:
    """Store a long session of questions and answers, and return the questions."""
    await rows.session("s1")
    for number in range(LONG):
        role, parent = ("assistant" if number % 2 else "user"), (f"m{number - 1}" if number else None)
        await rows.message("s1", f"m{number}", at=number / 100, role=role, content=f"text {number}", parent_id=parent)
    return [f"text {number}" for number in range(0, LONG, 2)]


async def chat(stage: Stage, **body: Any) -> httpx2.Response:
    return await stage.post("/api/chat", {"session_id": "s1", "stream": False, **body})


async def test_user_messages_of_a_long_session_add_only_what_is_new(
    stage: Stage, rows: Rows, owner: asyncpg.Connection
) -> None:
    said = await long_session(rows)
    answer = await chat(stage, userMessages=[*said, "[echo new]"])
    assert answer.json()["message"]["content"] == "new"
    question = json.loads(await owner.fetchval("SELECT question FROM gateway.turns"))
    assert (question["content"], question["earlier"]) == ("[echo new]", [])
    assert question["parent_id"] == f"m{LONG - 1}"


async def test_a_question_of_long_ago_is_answered_again_after_what_came_before_it(stage: Stage, rows: Rows) -> None:
    await long_session(rows)
    await rows.run("UPDATE chat.messages SET content = '[recall]' WHERE message_id = 'm20'")
    for message_id in ("m20", "m21"):  # the question, and its answer
        answer = await chat(stage, trigger="regenerate-message", messageId=message_id)
        recalled = json.loads(answer.json()["message"]["content"])
        assert recalled == [*(f"text {number}" for number in range(0, 20, 2)), "[recall]"]


async def test_a_session_goes_on_from_a_question_of_long_ago_that_keeps_its_place(stage: Stage, rows: Rows) -> None:
    await long_session(rows)
    await chat(stage, trigger="regenerate-message", messageId="m20")
    following = await chat(stage, message="[recall]")
    recalled = json.loads(following.json()["message"]["content"])
    assert recalled == [*(f"text {number}" for number in range(0, 21, 2)), "[recall]"]
    page = (await stage.get("/api/chat/sessions/s1/messages", limit=5)).json()["messages"]
    assert [message["id"] for message in page[:2]] == [f"m{LONG - 2}", f"m{LONG - 1}"]
    assert [message["content"] for message in page[3:]] == ["[recall]", following.json()["message"]["content"]]


async def test_an_edit_of_long_ago_keeps_what_came_before_it(stage: Stage, rows: Rows) -> None:
    await long_session(rows)
    answer = await chat(stage, message={"id": "m4", "content": "[recall]"})
    assert json.loads(answer.json()["message"]["content"]) == ["text 0", "text 2", "[recall]"]


async def test_a_reply_to_a_message_of_long_ago_continues_its_branch(stage: Stage, rows: Rows) -> None:
    await long_session(rows)
    answer = await chat(stage, message="[recall]", parent_id="m3")
    assert json.loads(answer.json()["message"]["content"]) == ["text 0", "text 2", "[recall]"]


async def is_stopped(stage: Stage, session_id: str) -> bool:
    """Stop a session's turn; False where it has not begun yet."""
    return (await stage.post(f"/api/chat/{session_id}/stop")).status_code == 200


async def test_of_a_burst_no_more_turns_begin_than_may_run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        told = settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1", "turns_at_once": 3})
        stage = await stack.enter_async_context(open_stage(told))
        saying = [
            asyncio.create_task(chat(stage, session_id=f"s{number}", message="[first 60000]")) for number in range(12)
        ]
        await until_true(lambda: sum(each.done() for each in saying) == 9)
        for number, each in enumerate(saying):
            if not each.done():
                await until(lambda number=number: is_stopped(stage, f"s{number}"), "the turn")  # type: ignore[misc]
        answers = await asyncio.gather(*saying)
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 9
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)
        assert (await chat(stage, message="[echo now]")).status_code == 200


async def test_a_session_that_the_model_failed_is_the_same_at_the_next_try(stage: Stage) -> None:
    failed = await stage.post("/api/chat", {"message": "[error 500]", "stream": False})
    assert (failed.status_code, failed.json()["code"]) == (503, "model_away")
    again = await stage.post("/api/chat", {"message": "[recall]", "stream": False})  # the client keeps cookies
    assert again.headers["x-session-id"] == failed.headers["x-session-id"] == failed.json()["session_id"]
    assert json.loads(again.json()["message"]["content"]) == ["[error 500]", "[recall]"]


async def test_a_first_message_that_an_earlier_conversation_began_with_too_is_answered(stage: Stage) -> None:
    hello = {"messages": [{"id": "1", "role": "user", "content": "[recall]"}], "stream": False}
    first = await stage.post("/api/chat", hello)
    stage.http.cookies.clear()  # as on another device, or a month later
    second = await stage.post("/api/chat", hello)
    assert first.headers["x-session-id"] != second.headers["x-session-id"]
    assert first.headers["x-turn-id"] != second.headers["x-turn-id"]
    assert json.loads(second.json()["message"]["content"]) == ["[recall]"]


async def test_more_new_messages_at_once_than_anybody_types_are_refused(
    stage: Stage, owner: asyncpg.Connection
) -> None:
    answer = await chat(stage, userMessages=["again"] * 101)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "userMessages")
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 0
