"""What a caller receives of a turn, piece by piece, in each form."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.chat.ui_stream import PartId, text_stream, ui_stream
from services.gateway.turns import call_parts
from services.gateway.turns.here.buffer import Reasoning, TurnBuffer, replay
from services.gateway.turns.pieces import STEP, Whole
from services.gateway.turns.turn import Answer, Question, Turn, answer_parts
from shared.errors import DatabaseAway
from shared.events import AnswerStatus
from shared.ids import new_id

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TURN = UUID(int=1)


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
    placed = [event for event in events[:-2] if "tool-output" not in event]
    ids = [PartId.read(event.split("\n")[0].removeprefix("id: ")) for event in placed]
    places = [read.within(running.turn) if read else 0 for read in ids]
    assert places == sorted(set(places)), "each is further than the one before"
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


async def test_a_stop_is_told_without_a_reason_which_strict_clients_do_not_know() -> None:
    running = TurnBuffer(turn())
    end(running, "stopped")
    assert (await parts_of(running))[-1] == {"type": "abort"}


async def test_a_turn_without_an_answer_ends_in_an_error() -> None:
    running = TurnBuffer(turn())
    running.add("so far")
    running.fail(DatabaseAway("the answer could not be kept"))
    assert (await parts_of(running))[-1] == {"type": "error", "errorText": "the answer could not be kept"}


async def test_a_silent_stretch_gets_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.turns.here.buffer.QUIET_S", 0.01)
    running = TurnBuffer(turn())
    pieces = ui_stream(running)
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


def over(*parts: tuple[str, str], content: str = "text", attempt: int = 1) -> Turn:
    answer = Answer(content, [{"type": kind, "text": text} for kind, text in parts], "complete")
    return replace(turn(), state="complete", answer=answer, answered_at=NOW, attempt=attempt)


def test_a_replayed_answer_has_all_its_parts_again() -> None:
    replayed = replay(over(("reasoning", "so"), ("text", "a"), ("text", "b")))
    assert replayed.parts() == ["so", "ab"]
    assert [type(piece) for piece in replayed.parts()] == [Reasoning, str]
    assert replay(over()).parts() == ["text"]


texts = st.text(alphabet="ab\u00e9\U0001f600", min_size=1, max_size=5)
spoken = st.lists(st.tuples(st.sampled_from([str, Reasoning]), texts), max_size=6)


@given(spoken=spoken, cut=st.integers(0, 40))
def test_the_rest_of_a_stream_is_what_comes_after_any_part_of_it(spoken: list[tuple[type[str], str]], cut: int) -> None:
    """Whoever read up to a part, from memory piece by piece, gets the rest from the turn's row."""
    running = TurnBuffer(turn())
    for kind, text in spoken:
        running.add(kind(text))
    ended = kept(running)
    events = asyncio.run(_events(running))
    read, rest = _cut_off(events, replay(ended), cut)
    assert _told([*read, *rest]) == _told(events)
    assert not {event.split("\n")[0] for event in read} & {event.split("\n")[0] for event in rest[:-1]}


def kept(running: TurnBuffer) -> Turn:
    """End a turn with all that it has said and done."""
    answer = Answer(running.text, answer_parts(running.parts(), is_refusal=False), "complete")
    ended = replace(running.turn, state="complete", answer=answer, answered_at=NOW)
    running.end(ended)
    return ended


def _cut_off(events: list[str], other: TurnBuffer, cut: int) -> tuple[list[str], list[str]]:
    """Read so many of these events, and the rest from another buffer of the same turn."""
    read = events[: min(cut, len(events) - 1)]
    last = PartId.read(read[-1].split("\n")[0].removeprefix("id: ")) if read else None
    return read, asyncio.run(_events(other, last.within(other.turn) if last else 0))


async def _events(buffer: TurnBuffer, after: int = 0) -> list[str]:
    stream = b"".join([event async for event in ui_stream(buffer, after)]).decode()
    return stream.removesuffix("\n\n").split("\n\n")


def _told(events: list[str]) -> list[tuple[str, str]]:
    """Return what a client makes of them: parts, with the text that was cut into several put together."""
    told: list[tuple[str, str]] = []
    for event in events:
        data = event.partition("data: ")[2]
        part = {} if data == "[DONE]" else json.loads(data)
        if told and part.get("type", "").endswith("-delta") and told[-1][0] == part["type"] + part["id"]:
            told[-1] = (told[-1][0], told[-1][1] + part["delta"])
        elif "delta" in part:
            told.append((part["type"] + part["id"], part["delta"]))
        else:
            told.append(("", data))
    return told


def test_who_has_read_more_than_was_kept_learns_the_end() -> None:
    ended = over(("text", "kept"))
    events = asyncio.run(_events(replay(ended), 500))
    assert [json.loads(event.partition("data: ")[2])["type"] for event in events[:-1]] == [
        "text-end",
        "finish-step",
        "finish",
    ]


def test_each_attempt_has_places_of_its_own() -> None:
    first, second = over(), over(attempt=2)
    second = replace(second, turn_id=first.turn_id)
    ids = [asyncio.run(_events(replay(ended)))[0].split("\n")[0] for ended in (first, second)]
    assert ids == [f"id: {first.turn_id}:1", f"id: {first.turn_id}:2.1"]
    read = [PartId.read(each.removeprefix("id: ")) for each in ids]
    assert [part is not None and part.within(first) for part in read] == [1, 0]
    assert [part is not None and part.within(second) for part in read] == [0, 1]


@pytest.mark.parametrize("text", ["", "x", f"{NOW}:1", ":1", f"{TURN}", f"{TURN}:", f"{TURN}:1.", "-" * 36 + ":1"])
def test_what_is_no_id_of_a_part_is_none(text: str) -> None:
    assert PartId.read(text) is None


async def test_a_turn_knows_whether_anybody_follows_it() -> None:
    running = TurnBuffer(turn())
    assert await running.unfollowed(0)
    here, there = running.attach(), running.attach()
    assert not await running.unfollowed(0)
    here.close()
    here.close()
    assert not await running.unfollowed(0)
    leaving = asyncio.create_task(running.unfollowed(60))
    there.close()
    assert await leaving
    await running.abandoned()


def called(call_id: str, output: Any = None) -> Whole:
    part = call_parts.begun("look", call_id, {"at": call_id})
    return Whole.of(part if output is None else call_parts.done(part, output))


async def test_calls_of_tools_are_told_as_the_ai_sdk_has_them() -> None:
    running = TurnBuffer(turn())
    broken = call_parts.unusable("look", "c2", "{", "no JSON")
    failed = call_parts.failed(call_parts.begun("look", "c3", {}), "no answer")
    pieces = ("I look.", called("c1"), Whole.of(broken), called("c1", {"seen": 1}), Whole.of(failed))
    for piece in (*pieces, Whole.of({"type": STEP}), "Seen."):
        running.add(piece)
    end(running)
    assert [part["type"] for part in await parts_of(running)] == [
        *("start", "start-step", "text-start", "text-delta", "text-end"),
        *("tool-input-start", "tool-input-available", "tool-input-error", "tool-output-available"),
        *("tool-input-start", "tool-input-available", "tool-output-error"),
        *("finish-step", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"),
    ]
    assert b"".join([piece async for piece in text_stream(running)]).decode() == running.text == "I look.\n\nSeen."


rounds = st.lists(st.tuples(texts, st.permutations(range(3)), st.integers(0, 3)), min_size=1, max_size=3)


@given(rounds=rounds, cut=st.integers(0, 60), from_row=st.booleans())
def test_who_reads_on_from_any_part_knows_of_every_call(
    rounds: list[tuple[str, list[int], int]], cut: int, *, from_row: bool
) -> None:
    """Results come in any order, and from the row in that of their calls: none is missed, and nothing else twice."""
    running = TurnBuffer(turn())
    for number, (text, order, done) in enumerate(rounds):
        pieces: list[str] = [Whole.of({"type": STEP})] if number else []
        pieces += [text, *(called(f"{number}-{each}") for each in range(3))]
        for piece in (*pieces, *(called(f"{number}-{each}", each) for each in order[:done])):
            running.add(piece)
    ended = kept(running)
    first, second = (replay(ended), running) if from_row else (running, replay(ended))
    events = asyncio.run(_events(first))
    read, rest = _cut_off(events, second, cut)
    results, others = _results(events)
    known, seen = _results([*read, *rest])
    assert known == results
    assert _told(seen) == _told(others)


def _results(events: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return what came of each call, and all the other events."""
    parts = [(event, json.loads(event.partition("data: ")[2])) for event in events if "tool-output" in event]
    return {part["toolCallId"]: part["output"] for _, part in parts}, [e for e in events if "tool-output" not in e]
