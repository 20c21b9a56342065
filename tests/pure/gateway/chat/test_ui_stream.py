"""What a caller receives of a turn, piece by piece, in each form."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.chat.ui_stream import text_stream, ui_stream
from services.gateway.turns.buffer import Reasoning, TurnBuffer
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
    assert b'"start-step"' in await anext(pieces)
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


async def test_what_the_model_thinks_has_parts_of_its_own_in_the_order_it_came() -> None:
    running = TurnBuffer(turn())
    for piece in (Reasoning("so "), Reasoning("then"), "Hel", "lo", Reasoning("more"), "!"):
        running.add(piece)
    end(running)
    parts = [part for part in await parts_of(running) if "id" in part]
    assert [(part["type"], part["id"], part.get("delta")) for part in parts] == [
        ("reasoning-start", "reasoning", None),
        ("reasoning-delta", "reasoning", "so then"),
        ("reasoning-end", "reasoning", None),
        ("text-start", "text-2", None),
        ("text-delta", "text-2", "Hello"),
        ("text-end", "text-2", None),
        ("reasoning-start", "reasoning-3", None),
        ("reasoning-delta", "reasoning-3", "more"),
        ("reasoning-end", "reasoning-3", None),
        ("text-start", "text-4", None),
        ("text-delta", "text-4", "!"),
        ("text-end", "text-4", None),
    ]


async def test_plain_text_has_none_of_what_the_model_thinks() -> None:
    running = TurnBuffer(turn())
    running.add(Reasoning("so"))
    running.add("text")
    end(running)
    assert [piece async for piece in text_stream(running)] == [b"text"]
    assert running.text == "text"


@pytest.mark.parametrize(
    ("reason", "told"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content-filter"), ("error", "error")],
)
async def test_the_finish_part_says_why_the_answer_ended_as_the_ai_sdk_spells_it(reason: str, told: str) -> None:
    running = TurnBuffer(turn())
    running.add("text")
    answer = Answer("text", [], "complete", trace={"finish_reason": reason})
    running.end(replace(running.turn, state="complete", answer=answer, answered_at=NOW))
    finish = (await parts_of(running))[-1]
    assert finish == {"type": "finish", "finishReason": told, "messageMetadata": {"finish_reason": reason}}


@pytest.mark.parametrize("status", ["interrupted", "failed"])
async def test_the_metadata_of_a_message_that_is_not_whole_says_so(status: AnswerStatus) -> None:
    running = TurnBuffer(turn())
    running.add("so far")
    end(running, status, "it broke off")
    told = [part for part in await parts_of(running) if part["type"] == "message-metadata"]
    assert told == [{"type": "message-metadata", "messageMetadata": {"finish_reason": "error"}}]


async def test_a_replayed_answer_has_all_its_parts_again() -> None:
    replayed = TurnBuffer(turn())
    parts = [{"type": "reasoning", "text": "so"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    replayed.replay(Answer("ab", parts, "complete"))
    end(replayed)
    assert replayed.parts() == ["so", "ab"]
    assert [type(piece) for piece in replayed.parts()] == [Reasoning, str]
    older = TurnBuffer(turn())
    older.replay(Answer("text", [], "complete"))
    assert older.parts() == ["text"]
