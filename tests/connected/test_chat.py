"""`POST /api/chat` over HTTP, on a real database, broker and model stand-in."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import httpx2
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.connected.gateway_stage import Rows, Stage, open_stage

LONG = 260  # messages of a session, more than a turn reads of one


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        told = settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1"})
        yield await stack.enter_async_context(open_stage(told))


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


async def test_an_edit_of_long_ago_keeps_what_came_before_it(stage: Stage, rows: Rows) -> None:
    await long_session(rows)
    answer = await chat(stage, message={"id": "m4", "content": "[recall]"})
    assert json.loads(answer.json()["message"]["content"]) == ["text 0", "text 2", "[recall]"]


async def test_a_reply_to_a_message_of_long_ago_continues_its_branch(stage: Stage, rows: Rows) -> None:
    await long_session(rows)
    answer = await chat(stage, message="[recall]", parent_id="m3")
    assert json.loads(answer.json()["message"]["content"]) == ["text 0", "text 2", "[recall]"]


async def test_more_new_messages_at_once_than_anybody_types_are_refused(
    stage: Stage, owner: asyncpg.Connection
) -> None:
    answer = await chat(stage, userMessages=["again"] * 101)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "userMessages")
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 0
