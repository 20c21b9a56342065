"""A question that is asked again keeps its place, whichever of its copies is stored first."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from services.logger.store import Store
from shared.database import open_pool
from shared.events import MessageEvent, decode
from shared.topology import LOGGER_CHAT
from tests.connected.brokers import take
from tests.connected.gateway.stage import Stage


async def told(stage: Stage, count: int) -> list[MessageEvent]:
    """Take so many messages from the logger's queue, in order."""
    events = [decode(message.type, message.body) for message in await take(stage.settings, LOGGER_CHAT, count)]
    return [event for event in events if isinstance(event, MessageEvent)]


async def store_in_turn(stage: Stage, *groups: Sequence[MessageEvent]) -> None:
    """Commit these groups one after another, as two loggers might."""
    async with open_pool(stage.settings.logger_database_url, "test") as pool:
        for group in groups:
            await Store(pool).store_chat(group, ())


async def stored(owner: asyncpg.Connection) -> tuple[list[Any], dict[str, Any]]:
    messages = await owner.fetch("SELECT message_id, created_at FROM chat.messages ORDER BY created_at, message_id")
    session = await owner.fetchrow(
        "SELECT message_count, created_at, last_message_at, last_message, title FROM chat.sessions"
    )
    return [tuple(message) for message in messages], dict(session or {})


@pytest.mark.parametrize("is_copy_first", [False, True])
async def test_a_regenerated_question_keeps_its_place(
    stage: Stage, owner: asyncpg.Connection, is_copy_first: bool
) -> None:
    await stage.post("/api/chat", {"session_id": "s1", "message": "[echo one]", "stream": False})
    await stage.post("/api/chat", {"session_id": "s1", "trigger": "regenerate-message", "stream": False})
    question, answer, copy, other_answer = await told(stage, 4)
    assert (copy.message_id, copy.event_id == question.event_id) == (question.message_id, False)
    first, second = [question, answer], [copy, other_answer]
    await store_in_turn(stage, *((second, first) if is_copy_first else (first, second)))
    messages, session = await stored(owner)
    assert messages == [(event.message_id, event.created_at) for event in (question, answer, other_answer)]
    assert session == {
        "message_count": 3,
        "created_at": question.created_at,
        "last_message_at": other_answer.created_at,
        "last_message": "one",
        "title": "[echo one]",
    }


async def test_a_message_that_only_came_with_a_question_again_keeps_its_place(stage: Stage) -> None:
    said = [{"id": "q1", "content": "one"}, {"id": "q2", "content": "two"}]
    for message in said:
        await stage.post("/api/chat", {"session_id": "s1", "message": message, "stream": False})
    # The first of them is left out, so what follows the common prefix is all of this.
    again = [said[1], {"id": "q3", "content": "three"}]
    await stage.post("/api/chat", {"session_id": "s1", "userMessages": again, "stream": False})
    events = await told(stage, 7)
    second, copy = [event for event in events if event.message_id == "q2"]
    assert copy.created_at == second.created_at
