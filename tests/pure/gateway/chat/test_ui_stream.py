"""What a caller receives of a turn, piece by piece, in each form."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.chat.ui_stream import text_stream, ui_stream
from services.gateway.turns.buffer import TurnBuffer
from services.gateway.turns.turn import Answer, Question, Turn
from shared.errors import BrokerAway, DatabaseAway
from shared.events import AnswerStatus
from shared.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def turn() -> Turn:
    return Turn(
        turn_id=new_id(),
        user_id="ann",
        session_id="s1",
        body_hash=b"",
        owner="here",
        attempt=1,
        state="running",
        correlation_id=new_id(),
        model="m",
        provider="p",
        project_id=None,
        helper=None,
        question=Question("q1", "hi"),
        asked_at=NOW,
    )


def end(running: TurnBuffer, status: AnswerStatus = "complete", error: str | None = None) -> None:
    answer = Answer(running.text, [], status, error)
    running.end(replace(running.turn, state=status, answer=answer, answered_at=NOW))


async def parts_of(running: TurnBuffer) -> list[dict[str, Any]]:
    events = b"".join([piece async for piece in ui_stream(running)]).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert [event.split("\n")[0] for event in events[:-2]] == [
        f"id: {running.turn.turn_id}:{number}" for number in range(1, len(events) - 1)
    ]
    return [json.loads(event.partition("data: ")[2]) for event in events[:-2]]


async def test_a_whole_answer_has_a_start_its_text_and_a_finish() -> None:
    running = TurnBuffer(turn())
    running.add("Hel")
    reading = asyncio.create_task(parts_of(running))
    await asyncio.sleep(0)
    running.add("lo")
    end(running)
    parts = await reading
    types = [part["type"] for part in parts if part["type"] != "text-delta"]
    assert types == ["start", "start-step", "text-start", "text-end", "finish-step", "finish"]
    assert "".join(part.get("delta", "") for part in parts) == "Hello"
    assert parts[0]["messageId"] == running.turn.answer_id
    assert parts[0]["messageMetadata"]["session_id"] == "s1"


@pytest.mark.parametrize(
    ("status", "closing"),
    [("interrupted", "error"), ("failed", "error"), ("stopped", "abort")],
)
async def test_an_answer_that_is_not_whole_says_so(status: AnswerStatus, closing: str) -> None:
    running = TurnBuffer(turn())
    running.add("so far")
    end(running, status, "it broke off")
    parts = await parts_of(running)
    assert parts[-1]["type"] == closing
    assert parts[-1].get("errorText", "it broke off") == "it broke off"
    assert "finish" not in [part["type"] for part in parts]


async def test_a_turn_without_an_answer_ends_in_an_error() -> None:
    running = TurnBuffer(turn())
    running.add("so far")
    running.fail(DatabaseAway("the answer could not be kept"))
    assert (await parts_of(running))[-1] == {"type": "error", "errorText": "the answer could not be kept"}


async def test_a_silent_stretch_gets_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.turns.buffer.QUIET_S", 0.01)
    running = TurnBuffer(turn())
    pieces = ui_stream(running)
    assert b'"start"' in await anext(pieces)
    assert b'"text-start"' in await anext(pieces)
    assert await anext(pieces) == b": keep-alive\n\n"
    end(running)


async def test_a_late_follower_gets_the_whole_text() -> None:
    running = TurnBuffer(turn())
    for piece in ("a", "b", "c"):
        running.add(piece)
    end(running)
    assert "".join([piece async for piece in running.follow()]) == "abc"
    assert "".join([piece async for piece in running.follow()]) == "abc"


async def test_followers_see_the_same_text() -> None:
    running = TurnBuffer(turn())

    async def follow() -> str:
        return "".join([piece async for piece in running.follow()])

    followers = [asyncio.create_task(follow()) for _ in range(3)]
    for number in range(50):
        running.add(f"{number} ")
        if number % 7 == 0:
            await asyncio.sleep(0)
    end(running)
    assert await asyncio.gather(*followers) == ["".join(f"{number} " for number in range(50))] * 3


async def test_plain_text_is_the_text_and_breaks_off_where_the_answer_did() -> None:
    whole, broken, away = TurnBuffer(turn()), TurnBuffer(turn()), TurnBuffer(turn())
    for running in (whole, broken, away):
        running.add("text")
    end(whole)
    end(broken, "interrupted")
    away.fail(DatabaseAway())
    assert [piece async for piece in text_stream(whole)] == [b"text"]
    for running in (broken, away):
        with pytest.raises(BrokenPipeError):
            _ = [piece async for piece in text_stream(running)]


async def test_nothing_is_seen_of_a_question_that_was_not_accepted() -> None:
    running = TurnBuffer(turn())
    waiting = asyncio.create_task(running.accepted())
    running.add("too early")
    await asyncio.sleep(0)
    assert not waiting.done()
    running.fail(BrokerAway())
    with pytest.raises(BrokerAway):
        await waiting
