"""From where a message comes is kept with it, and shown to nobody by the routes of conversations."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from services.logger.rows.forking import fork_sessions
from services.logger.store import Store
from shared.database import open_pool
from shared.events import Client, SessionForked
from tests.connected.gateway.stage import Stage

HERE = {"address": "127.0.0.0/24"}
PATH = "/api/chat/sessions/s1"


@pytest.fixture
async def logger(stage: Stage) -> AsyncIterator[Store]:
    async with open_pool(stage.settings.logger_database_url, "test", size=1) as pool:
        yield Store(pool)


async def store_what_was_said(stage: Stage, owner: asyncpg.Connection, logger: Store) -> None:
    for row in await owner.fetch("SELECT turn_id FROM gateway.turns ORDER BY asked_at"):
        turn = await stage.store.find(row["turn_id"])
        assert turn is not None
        events = [type(event).model_validate_json(event.body()) for event in turn.events()]
        await logger.store_chat(events, [])


async def test_a_question_and_a_message_are_told_and_stored_with_it(
    stage: Stage, owner: asyncpg.Connection, logger: Store
) -> None:
    asked = await stage.post("/api/chat", {"session_id": "s1", "message": "[echo hi]", "stream": False})
    await stage.call("POST", f"{PATH}/messages", {"role": "tool", "content": "used"}, Prefer="respond-async")
    turn = await stage.store.find(UUID(asked.headers["x-turn-id"]))
    assert turn is not None
    assert turn.posted().client == Client(address=HERE["address"])
    await store_what_was_said(stage, owner, logger)
    kept = await owner.fetch("SELECT role, client FROM chat.messages ORDER BY created_at")
    assert [(row["role"], row["client"] is not None) for row in kept] == [
        ("user", True), ("assistant", False), ("tool", True),
    ]  # fmt: skip
    row = await owner.fetchrow("SELECT first_client, last_client FROM chat.sessions")
    assert row is not None
    assert [row[0][1], row[1][1]] == [HERE["address"]] * 2
    assert row[0] < row[1]


async def test_nobody_reads_it_in_a_conversation_and_no_copy_has_it(
    stage: Stage, owner: asyncpg.Connection, logger: Store
) -> None:
    asked = await stage.post("/api/chat", {"session_id": "s1", "message": "[echo hi]", "stream": False})
    shown = [asked.text, (await stage.get(f"{PATH}/messages")).text]
    await store_what_was_said(stage, owner, logger)
    shared = await stage.post(f"{PATH}/shares", {})
    assert shared.status_code == 201, shared.text
    token = shared.json()["share"]["token"]
    for path in (PATH, f"{PATH}/messages", f"{PATH}/export?format=json", f"/api/shared/{token}"):
        answer = await stage.get(path)
        assert (answer.status_code, "hi" in answer.text) == (200, True), path
        shown.append(answer.text)
    assert [text for text in shown if "127.0.0" in text] == []
    newest = await owner.fetchval("SELECT message_id FROM chat.messages WHERE role = 'assistant'")
    accepted = await owner.fetchval("SELECT clock_timestamp()")
    fork = SessionForked(user_id="ann", session_id="s2", source_id="s1", message_id=newest, accepted_at=accepted)
    async with open_pool(stage.settings.logger_database_url, "test", size=1) as pool, pool.acquire() as db:
        await fork_sessions(db, [fork])
    copies = await owner.fetch("SELECT client FROM chat.messages WHERE session_id = 's2'")
    assert [row["client"] for row in copies] == [None, None]
    assert await owner.fetchval("SELECT first_client FROM chat.sessions WHERE session_id = 's2'") is None
