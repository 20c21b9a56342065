"""An answer has the hash that the next request goes on from, whoever ends its turn."""

from dataclasses import replace
from typing import Any

import pytest

from services.gateway.turns.histories import Hashes, with_answer
from services.gateway.turns.stored.rows import question_columns
from services.gateway.turns.turn import Question
from tests.pure.gateway.samples import minutes, turn


def test_a_turn_that_another_gateway_ends_is_found_by_what_it_had_said() -> None:
    said = [{"role": "user", "content": "a"}]
    history = Hashes().add(said)
    running = turn(question=Question("m", "a", history=history), partial_parts=[{"type": "text", "text": "It i"}])
    ended = running.so_far("interrupted", "The gateway that answered is gone.")
    assert ended.history == Hashes().add([*said, {"role": "assistant", "content": "It i"}])
    told = replace(running, state="interrupted", answer=ended, answered_at=minutes(1)).answered()
    assert told.conversation == ended.history


def test_of_a_chat_that_names_its_session_nothing_is_hashed() -> None:
    asked = turn(answered=1).question
    assert "history" not in question_columns(asked)[0]  # which a gateway from before it would not read
    assert turn(partial_parts=[]).so_far("stopped").history is None
    assert turn(answered=1).answered().conversation is None


@pytest.mark.parametrize("none", ["", " ", "{}", None])
def test_a_call_without_arguments_is_one_however_that_is_spelled(none: str | None) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": none}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    kept: tuple[Any, ...] = ({}, "")
    parts = [{"type": "tool-f", "toolCallId": "c1", "input": each} for each in kept]
    assert [with_answer("", "", [part]) for part in parts] == [Hashes().add([said])] * 2


def test_arguments_of_any_depth_are_hashed() -> None:
    for depth in (300, 2000):
        arguments = "[" * depth + "]" * depth
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        assert Hashes().add([{"role": "assistant", "content": None, "tool_calls": [call]}])
