"""A client that stores its messages itself as well as by its turns finds each of them once."""

from typing import Any

import asyncpg
import pytest

from tests.connected.gateway.sessions.test_posting import PATH, post, said
from tests.connected.gateway.stage import Rows, Stage


async def chat(stage: Stage, message: Any) -> dict[str, Any]:
    body = {"session_id": "s1", "message": message, "stream": False}
    answer = await stage.post("/api/chat", body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["message"]
    return told


@pytest.mark.parametrize("role", ["user", "assistant"])
async def test_what_a_turn_has_just_stored_is_that_row_once_a_turn(stage: Stage, role: str) -> None:
    told = await chat(stage, "[echo [echo it]]")
    text = {"user": "[echo [echo it]]", "assistant": told["content"]}[role]
    copy, second = await post(stage, role=role, content=text), await post(stage, role=role, content=text)
    assert (copy.status_code, second.status_code) == (200, 202)
    if role == "assistant":
        assert copy.json()["message"]["id"] == told["id"]
    assert len(await said(stage)) == 3


@pytest.mark.parametrize("name", [{"key": "k1"}, {"id": "own-1"}])
async def test_a_copy_that_comes_again_is_the_same_row(stage: Stage, name: dict[str, str]) -> None:
    told = await chat(stage, "[echo hi]")
    copy = await post(stage, role="assistant", content="hi", **name)
    await chat(stage, "[echo on]")
    again = await post(stage, role="assistant", content="hi", **name)
    assert (copy.status_code, again.status_code) == (200, 200)
    assert copy.json()["message"]["id"] == again.json()["message"]["id"] == told["id"]
    assert len(await said(stage)) == 4


@pytest.mark.parametrize("with_id", [False, True])
async def test_a_question_that_its_client_stored_is_the_one_that_is_asked(stage: Stage, with_id: bool) -> None:
    stored = (await post(stage, content="[echo hi]", **({"id": "m1"} if with_id else {}))).json()["message"]
    await chat(stage, {"id": "m1", "content": "[echo hi]"} if with_id else "[echo hi]")
    assert await said(stage) == [("user", "[echo hi]"), ("assistant", "hi")]
    messages = (await stage.get(PATH)).json()["messages"]
    assert messages[1]["parent_id"] == stored["id"] == messages[0]["id"]
    await chat(stage, "[echo hi]")  # which was answered: this is another one
    assert len(await said(stage)) == 4


async def test_a_question_that_is_stored_already_is_the_one_that_is_asked(
    stage: Stage, owner: asyncpg.Connection
) -> None:
    rows = Rows(owner)
    await rows.session("s1", at=2)
    await rows.message("s1", "q1", at=1, content="[echo hi]")
    await chat(stage, "[echo hi]")
    assert [role for role, _ in await said(stage)] == ["user", "assistant"]


async def test_the_next_turn_remembers_what_a_client_has_stored(stage: Stage) -> None:
    await post(stage, content="one", id="m1")
    await post(stage, content="two", role="assistant")
    told = await chat(stage, "[recall]")
    assert told["content"] == '["one", "[recall]"]'
    assert len(await said(stage)) == 4


async def test_a_key_names_its_own_message_whatever_a_turn_has_said_since(stage: Stage) -> None:
    first = await post(stage, role="assistant", content="hi", key="k1")
    await chat(stage, "[echo hi]")
    again = await post(stage, role="assistant", content="hi", key="k1")
    assert (again.status_code, again.json()["message"]["id"]) == (200, first.json()["message"]["id"])
