"""A conversation that goes on where it began is not read again, and is remembered all the same."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.connected.gateway.stage import Rows, Stage

READ = "EXECUTE ON FUNCTION gateway.past_with_opening"


@pytest.fixture
async def unreadable(owner: asyncpg.Connection) -> AsyncIterator[None]:
    """Let nobody read the past of a session."""
    await owner.execute(f"REVOKE {READ} FROM tripthread_reader")
    yield
    await owner.execute(f"GRANT {READ} TO tripthread_reader")


async def asked(stage: Stage, text: str, session_id: str | None = "s1", **body: Any) -> list[str]:
    """Ask the model to say what it was told, and return that."""
    named = {"session_id": session_id} if session_id else {}
    answer = await stage.post("/api/chat", {"message": f"{text} [recall]", "stream": False, **named, **body})
    assert answer.status_code == 200, answer.text
    heard: list[str] = json.loads(answer.json()["message"]["content"])
    return [each.removesuffix(" [recall]").rsplit("\n", 1)[-1] for each in heard]


async def test_the_past_is_not_read_and_is_remembered(
    stage: Stage, owner: asyncpg.Connection, unreadable: None
) -> None:
    first = await stage.post("/api/chat", {"message": "one", "stream": False})
    session = first.json()["session_id"]
    assert await asked(stage, "two", session) == ["one", "two"]
    assert await asked(stage, "three", session) == ["one", "two", "three"]
    rows = await owner.fetch("SELECT question ->> 'parent_id' AS parent FROM gateway.turns ORDER BY asked_at")
    assert [row["parent"] is None for row in rows] == [True, False, False]


async def test_a_note_that_was_stored_meanwhile_is_told_to_the_model(stage: Stage, owner: asyncpg.Connection) -> None:
    assert await asked(stage, "one") == ["one"]
    rows = Rows(owner)
    await rows.session("s1")
    now = await owner.fetchval("SELECT clock_timestamp()")
    await rows.message("s1", "note", at=0, role="system", content="A quote came.", created_at=now)
    answer = await stage.post("/api/chat", {"message": "two [recall]", "stream": False, "session_id": "s1"})
    assert "A quote came." in json.loads(answer.json()["message"]["content"])[-1]


async def test_a_repeat_of_a_question_is_replayed(stage: Stage) -> None:
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "one"}]}
    first, again = [
        (await stage.post("/api/chat", {"session_id": "s1", "message": message, "stream": False})).json()["message"]
        for _ in range(2)
    ]
    assert again["id"] == first["id"]


async def test_a_deleted_session_is_gone_at_once(stage: Stage) -> None:
    assert await asked(stage, "one") == ["one"]
    deleted = await stage.http.delete("/api/chat/sessions/s1", headers=stage.as_user("ann"))
    assert deleted.is_success, deleted.text
    answer = await stage.post("/api/chat", {"message": "two", "session_id": "s1"})
    assert answer.status_code == 404


async def test_another_question_is_answered_by_what_is_read(stage: Stage) -> None:
    assert await asked(stage, "one") == ["one"]
    again = await stage.post("/api/chat", {"session_id": "s1", "trigger": "regenerate-message", "stream": False})
    assert again.status_code == 200, again.text
    assert await asked(stage, "two") == ["one", "two"]
