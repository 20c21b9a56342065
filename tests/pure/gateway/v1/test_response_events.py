"""A response's events in OpenAI's order, numbered, and what they come to: read by OpenAI's own types."""

import json
from dataclasses import replace
from typing import Any

import pytest
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from services.gateway.model.chunks import CallPiece, Chunk
from services.gateway.turns.turn import Answer, Turn, answer_parts
from services.gateway.v1.told import response_shape
from services.gateway.v1.told.response_events import ResponseEvents
from tests.pure.gateway.samples import minutes, turn

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TEXT = ["response.output_item.added", "response.content_part.added"]
TEXT_END = ["response.content_part.done", "response.output_item.done"]


def events(said: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream, each of which must be one of OpenAI's and named as it is."""
    told = [each.split(b"\ndata: ") for each in said.split(b"\n\n") if each]
    values = [json.loads(data) for _, data in told]
    assert [name.decode() for name, _ in told] == [f"event: {value['type']}" for value in values]
    assert [value["sequence_number"] for value in values] == list(range(len(values)))
    for value in values:
        EVENTS.validate_python(value, strict=True)
    return values


def stream(asked: Turn, answer: Answer, *chunks: Chunk) -> list[dict[str, Any]]:
    ended = replace(asked, answer=answer, state=answer.status, answered_at=minutes(1))
    writer = ResponseEvents(response_shape.begun(asked, {}), asked.turn_id)
    said = [writer.begin(), *map(writer.tell, chunks), writer.end(response_shape.ended(ended, {}, answer))]
    return events(b"".join(said))


def whole(told: list[dict[str, Any]]) -> Any:
    """Return what OpenAI's client makes of a stream."""
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    for value in told:
        state.handle_event(EVENTS.validate_python(value))
    return state._completed_response


def test_text_comes_as_a_message_that_ends_before_the_response_does() -> None:
    told = stream(turn(), Answer("hi there", [], "complete"), Chunk(text="hi"), Chunk(text=" there"))
    assert [each["type"] for each in told] == [
        "response.created",
        "response.in_progress",
        *TEXT,
        *["response.output_text.delta"] * 2,
        "response.output_text.done",
        *TEXT_END,
        "response.completed",
    ]
    response = whole(told)
    assert (response.status, response.output_text, response.output[0].status) == ("completed", "hi there", "completed")
    assert told[0]["response"]["id"] == response.id


def test_thoughts_calls_and_text_are_items_of_their_own_and_the_ones_that_are_kept() -> None:
    asked = turn()
    calls: list[dict[str, Any]] = [
        {"type": "tool-f", "toolCallId": "c1", "state": "input-available", "input": {"a": 1}},
        {"type": "tool-g", "toolCallId": "", "state": "input-available", "input": "{"},
    ]
    parts: list[dict[str, Any]] = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "so"}]
    answer = Answer("so", [*parts, *calls], "complete", trace={"finish_reason": "tool_calls", "input_tokens": 7})
    told = stream(
        asked,
        answer,
        Chunk(reasoning="h"),
        Chunk(reasoning="m", text="s"),
        Chunk(calls=[CallPiece(0, "c1", "f")]),
        Chunk(calls=[CallPiece(1, None, None, "{"), CallPiece(0, arguments='{"a":')]),
        Chunk(text="o", calls=[CallPiece(1, None, "g"), CallPiece(0, arguments="1}")]),
    )
    response = whole(told)
    assert [(item.type, item.id[:3]) for item in response.output] == [
        ("reasoning", "rs_"),
        ("message", "msg"),
        ("function_call", "fc_"),
        ("function_call", "fc_"),
    ]
    assert [(item.call_id, item.name, item.arguments) for item in response.output[2:]] == [
        ("c1", "f", '{"a":1}'),
        ("call_1", "g", "{"),
    ]
    assert (response.output[0].content[0].text, response.output_text, response.usage.input_tokens) == ("hm", "so", 7)
    added = [each["item"]["id"] for each in told if each["type"] == "response.output_item.added"]
    done = {each["item"]["id"]: each["item"] for each in told if each["type"] == "response.output_item.done"}
    final = told[-1]["response"]["output"]
    assert (
        added
        == [item["id"] for item in final]
        == [item["id"] for item in response_shape.items_of(asked.turn_id, answer)]
    )
    assert [done[item["id"]] for item in final] == final


def test_a_call_before_the_text_stays_before_it() -> None:
    call = {"type": "tool-f", "toolCallId": "c1", "state": "input-available", "input": {}}
    answer = Answer("so", [{"type": "text", "text": "so"}, call], "complete")
    told = stream(turn(), answer, Chunk(calls=[CallPiece(0, "c1", "f", "{}")]), Chunk(text="so"))
    assert [item["type"] for item in told[-1]["response"]["output"]] == ["function_call", "message"]
    done = [each for each in told if each["type"] == "response.output_item.done"]
    assert [each["output_index"] for each in done] == [0, 1], "who puts items together as they end has them in order"
    assert whole(told).output_text == "so"


def test_a_refusal_is_told_as_one() -> None:
    answer = Answer("no", answer_parts(["no"], is_refusal=True), "complete")
    told = stream(turn(), answer, Chunk(text="no", is_refusal=True))
    assert {"response.refusal.delta", "response.refusal.done"} < {each["type"] for each in told}
    assert whole(told).output[0].content[0].refusal == "no"


def test_an_answer_that_was_cut_off_is_incomplete_and_says_why() -> None:
    for reason, word in (("length", "max_output_tokens"), ("content_filter", "content_filter")):
        told = stream(turn(), Answer("hi", [], "complete", trace={"finish_reason": reason}), Chunk(text="hi"))
        assert told[-1]["type"] == "response.incomplete"
        assert told[-1]["response"]["incomplete_details"] == {"reason": word}


def test_a_response_that_broke_off_has_what_had_come_and_the_error() -> None:
    asked = turn()
    writer = ResponseEvents(response_shape.begun(asked, {}), asked.turn_id)
    answer = Answer("hi", [], "interrupted")
    end = response_shape.failed(asked, {}, {"message": "boom", "code": "model_away"}, answer)
    told = events(writer.begin() + writer.tell(Chunk(text="hi")) + writer.end(end))
    assert told[-1]["type"] == "response.failed"
    response = Response.model_validate(told[-1]["response"])
    assert response.error is not None
    assert response.error.code == "server_error"
    assert (response.error.message, response.output_text, response.output[0].status) == ("boom", "hi", "incomplete")  # type: ignore[union-attr]


def test_what_a_response_repeats_of_its_request_is_as_it_came() -> None:
    told = {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}], "instructions": "be brief"}
    response = Response.model_validate(response_shape.begun(turn(), told))
    assert (response.instructions, response.tools[0].name, response.tool_choice) == ("be brief", "f", "auto")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [("complete", "stop", "completed"), ("complete", "length", "incomplete"), ("stopped", None, "incomplete")],
)
def test_an_item_ends_as_its_response_has_it(status: Any, reason: str | None, told: str) -> None:
    parts = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "hi"}]
    answer = Answer("hi", parts, status, trace={"finish_reason": reason})
    said = stream(turn(), answer, Chunk(reasoning="hm"), Chunk(text="hi"))
    ended = [each["item"]["status"] for each in said if each["type"] == "response.output_item.done"]
    assert ended == [item["status"] for item in said[-1]["response"]["output"]] == ["completed", told]


def test_tokens_are_those_of_all_rounds() -> None:
    rounds = [{"input_tokens": 5, "output_tokens": 2}]
    answer = Answer("hi", [], "complete", trace={"input_tokens": 7, "output_tokens": 3}, rounds=rounds)
    told = response_shape.ended(turn(), {}, answer)
    assert (told["usage"]["input_tokens"], told["usage"]["output_tokens"]) == (12, 5)
