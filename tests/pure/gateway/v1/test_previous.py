"""What a model is told of what led to a response: who said what, and which tools were called."""

from typing import Any

from services.gateway.turns.said import Said
from services.gateway.v1.previous import NO_RESULT, calls_in, told_of, way_to
from tests.pure.gateway.samples import minutes


def said(message_id: str, role: str, content: str | None, parent_id: str | None = None) -> Said:
    return Said(message_id, role, parent_id, minutes(len(message_id)), content=content)


CALL = {"type": "tool-f", "toolCallId": "c1", "state": "input-available", "input": {"a": 1}}
RESULT = {"type": "tool-result", "toolCallId": "c1", "output": "sunny"}
TALK = [
    said("s", "system", "be brief"),
    said("q", "user", "hi", "s"),
    said("a", "assistant", "", "q"),
    said("r", "tool", "sunny", "a"),
    said("b", "assistant", "it is sunny", "r"),
]
PARTS: dict[str, Any] = {"a": [CALL], "r": [RESULT], "b": [{"type": "text", "text": "it is sunny"}]}


def test_calls_and_results_come_as_chat_completions_have_them() -> None:
    told = told_of(TALK, PARTS, 1000)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert told == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "assistant", "content": "it is sunny"},
    ]
    assert calls_in(told) == {"c1"}


def test_a_tool_that_ran_here_comes_with_what_it_gave() -> None:
    ran = {**CALL, "state": "output-available", "output": {"sky": "blue"}}
    failed = {**CALL, "toolCallId": "c2", "state": "output-error", "errorText": "no"}
    waits = {**CALL, "toolCallId": "c3", "state": "approval-requested"}
    parts: list[dict[str, Any]] = [ran, {"type": "step-start"}, failed, waits]
    told = told_of([said("q", "user", "hi"), said("a", "assistant", "so", "q")], {"a": parts}, 1000)
    assert [each["role"] for each in told] == ["user", "assistant", "tool", "tool", "tool"]
    assert [each["content"] for each in told] == ["hi", "so", '{"sky":"blue"}', "no", NO_RESULT]


def test_other_branches_and_notes_of_the_system_are_not_on_the_way() -> None:
    history = [said("n", "system", "a quote came"), *TALK, said("other", "user", "else", "a")]
    assert [each.message_id for each in way_to("b", history)] == ["s", "q", "a", "r", "b"]
    assert [each.message_id for each in way_to("q", history)] == ["s", "q"]
    assert way_to("unknown", history) == []


def test_what_does_not_fit_is_left_out_from_a_question_on() -> None:
    later = [*TALK, said("q2", "user", "bye", "b"), said("c", "assistant", "see you", "q2")]
    assert [each["content"] for each in told_of(later, PARTS, 20)] == ["bye", "see you"]
    assert told_of(later, PARTS, 5) == []
    unread = [said("q", "user", None), *later[2:]]
    assert [each["content"] for each in told_of(unread, PARTS, 1000)] == ["bye", "see you"]


def test_an_answer_that_said_nothing_is_left_out() -> None:
    assert told_of([said("q", "user", "hi"), said("a", "assistant", " ", "q")], {}, 100) == [
        {"role": "user", "content": "hi"}
    ]
