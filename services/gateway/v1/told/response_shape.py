"""Spell a turn as a response: what it is, and the items that its answer comes out as. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from services.gateway.http.answers.openai_errors import FAILED
from services.gateway.model.chunks import Usage
from services.gateway.model.ending import FILTERED, LENGTH
from services.gateway.turns.turn import Answer, text_parts
from services.gateway.v1.reading.response_request import response_id

INCOMPLETE = {LENGTH: "max_output_tokens", FILTERED: "content_filter"}  # why, in OpenAI's words
ERRORS = frozenset(("context_length_exceeded",))  # that clients know beside the general one
# What every response has, where its request did not say otherwise.
USUAL: dict[str, Any] = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "usage": None,
    "user": None,
}

Item = dict[str, Any]


class Told(Protocol):
    """What a response has of its turn."""

    @property
    def turn_id(self) -> UUID: ...
    @property
    def model(self) -> str: ...
    @property
    def asked_at(self) -> datetime: ...
    @property
    def answered_at(self) -> datetime | None: ...


def begun(turn: Told, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response of which nothing has come yet.

    Args:
        turn: Which.
        told: What it repeats of its request.
    """
    return {
        **USUAL,
        **told,
        "id": response_id(turn.turn_id),
        "object": "response",
        "created_at": int(turn.asked_at.timestamp()),
        "status": "in_progress",
        "model": turn.model,
        "output": [],
    }


def ended(turn: Told, told: Mapping[str, Any], answer: Answer, counted: Usage | None = None) -> dict[str, Any]:
    """Return a response whose answer has come to an end.

    Args:
        turn: Which.
        told: What it repeats of its request.
        answer: Its answer.
        counted: What its service has counted beside the tokens that are kept, as far as that is known.
    """
    reason = INCOMPLETE.get(answer.finish_reason or "")
    details = {"incomplete_details": {"reason": reason}} if reason else {}
    return {
        **begun(turn, told),
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason or turn.answered_at is None else int(turn.answered_at.timestamp()),
        "output": items_of(turn.turn_id, answer),
        "usage": usage_of(answer.usage, counted or Usage()),
        **details,
    }


def failed(turn: Told, told: Mapping[str, Any], because: Mapping[str, Any], answer: Answer | None) -> dict[str, Any]:
    """Return a response that broke off, with what had come of its answer, and why, as an error says it elsewhere."""
    output = items_of(turn.turn_id, answer) if answer else []
    code = because["code"] if because["code"] in ERRORS else FAILED
    error = {"code": code, "message": because["message"]}
    return {**begun(turn, told), "status": "failed", "error": error, "output": output}


def running(turn: Told, told: Mapping[str, Any], parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a response that is coming, with what was kept of it so far."""
    return {**begun(turn, told), "output": items_of(turn.turn_id, Answer("", list(parts), "interrupted"))}


def items_of(turn_id: UUID, answer: Answer) -> list[Item]:
    """Return the items of an answer as it is kept, in their order: of the texts only the last may be incomplete."""
    is_complete = answer.status == "complete" and answer.finish_reason not in INCOMPLETE
    is_refusal = answer.metadata.get("refusal") is True
    numbers: Counter[str] = Counter()
    items: list[Item] = []
    parts = answer.parts or text_parts(answer.content)
    last = max((number for number, part in enumerate(parts) if part["type"] in ("text", "reasoning")), default=-1)
    for number, part in enumerate(parts):
        kind = "call" if part["type"].startswith("tool-") else part["type"]
        name = item_id(turn_id, kind, numbers[kind]) if kind in PREFIXES else ""
        if kind == "call":
            items.append(call_item(name, *call_of(part, numbers[kind]), status="completed"))
        elif name:
            status = "completed" if is_complete or number < last else "incomplete"
            items.append(text_item(name, kind, part["text"], status, is_refusal=is_refusal))
        numbers[kind] += 1
    return items


def calls_of(parts: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the calls of tools among these parts: id, name of the tool, arguments as JSON."""
    calls = [part for part in parts if part["type"].startswith("tool-") and "input" in part]
    return [call_of(part, number) for number, part in enumerate(calls)]


PREFIXES = {"text": "msg", "reasoning": "rs", "call": "fc"}


def item_id(turn_id: UUID, kind: str, number: int) -> str:
    """Name an item: it is of this turn's answer, and of its kind the one of this number, from 0."""
    return f"{PREFIXES[kind]}_{turn_id.hex}{f'_{number}' if number else ''}"


def text_item(name: str, kind: str, text: str | None, status: str, *, is_refusal: bool = False) -> Item:
    """Spell a message, or what was thought; without a text, as it begins."""
    content = [] if text is None else [text_part(kind, text, is_refusal=is_refusal)]
    if kind == "reasoning":
        return {"id": name, "type": kind, "summary": [], "content": content, "status": status}
    return {"id": name, "type": "message", "role": "assistant", "content": content, "status": status}


def text_part(kind: str, text: str, *, is_refusal: bool = False) -> dict[str, Any]:
    """Spell the only part of an item that is text."""
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    if is_refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def call_item(name: str, call_id: str, function: str, arguments: str, *, status: str) -> Item:
    """Spell a call of a tool."""
    called = {"call_id": call_id, "name": function, "arguments": arguments}
    return {"id": name, "type": "function_call", **called, "status": status}


def call_of(part: Mapping[str, Any], number: int) -> tuple[str, str, str]:
    """Return a kept call: its id, the tool's name, and the arguments as JSON.

    Args:
        part: The AI SDK's.
        number: Of the call in its answer, by which it is named where its service did not.
    """
    arguments = part.get("input")
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return call_name(part.get("toolCallId"), number), part["type"].removeprefix("tool-"), text


def call_name(given: str | None, number: int) -> str:
    """Return a call's id; some services give none."""
    return given or f"call_{number}"


def usage_of(tokens: Mapping[str, Any], counted: Usage) -> dict[str, Any]:
    """Spell the tokens of an answer."""
    asked, said = tokens["input_tokens"] or 0, tokens["output_tokens"] or 0
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": counted.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning_tokens or 0},
        "total_tokens": asked + said,
    }
