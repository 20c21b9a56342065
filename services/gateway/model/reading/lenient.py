"""Read what a model's service sends where it has not the usual shape: take what can be understood, pass over the rest.

Each rule has been needed by somebody; `docs/models.md` names the services and where it was seen.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from services.gateway.model.chunks import CallPiece, Chunk, Usage
from services.gateway.model.reading.complaints import complaint_in
from services.gateway.model.reading.known_shapes import reason_in
from services.gateway.model.reading.surrogates import without_halves
from services.gateway.model.reading.tool_calls import UNNUMBERED
from services.gateway.model.reading.usage import usage_in

DEEPEST = 64  # levels of nesting; what lies deeper is no part of an answer
LONGEST_NUMBER = 30  # digits; Python refuses to read very long ones
MOST_FAILURES = 100
BEGIN = re.compile(r"(?:\s|\ufeff|data:)*")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def read_leniently(event: bytes, *, is_error: bool = False) -> list[Chunk]:
    """Return what an event says: nothing, where it is no JSON, and several chunks where it is several of them."""
    return [chunk for value in values_in(event) if (chunk := chunk_of(value, is_error=is_error)) is not None]


def values_in(event: bytes) -> Iterator[Any]:
    """Yield the JSON values of an event, and the items of its lists; what is no JSON is passed over, line by line."""
    text = event.decode("utf-8", "replace")
    at = failures = 0
    while (found := BEGIN.match(text, at)) and failures < MOST_FAILURES and found.end() < len(text):
        try:
            value, at = _decoded(text, found.end())
        except ValueError:
            failures += 1
            at = text.find("\n", found.end()) + 1 or len(text)
        else:
            yield from (value if isinstance(value, list) else [value])


def _decoded(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        return _DECODER.decode(_flattened(text[at:])), len(text)


def _flattened(text: str) -> str:
    """Write null for what is nested too deeply to be read."""
    kept, depth, start = [], 0, 0
    for token in TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == DEEPEST:
                kept.append(text[start : token.start()] + "null")
        elif token[0] in "]}":
            depth -= 1
            if depth == DEEPEST - 1:
                start = token.end()
    return "".join(kept) + text[start:]


def _number(digits: str) -> int:
    return int(digits[:LONGEST_NUMBER])


_DECODER = json.JSONDecoder(parse_int=_number, strict=False)


def chunk_of(value: Any, *, is_error: bool = False) -> Chunk | None:
    """Read one JSON object; None where it says nothing that we know."""
    if value == "[DONE]":
        return Chunk(is_done=True)
    if not isinstance(value, dict):
        return None
    choice = _choice_in(value) or _choice_of_ollama(value)
    delta, is_whole = _delta_in(choice)
    text, thought = _said(delta.get("content"))
    refusal = _text(delta.get("refusal"))
    calls = _calls_in(delta)
    return Chunk(
        text=(text or _text(choice.get("text")) or _transcript(delta)) + refusal,
        reasoning=_reasoning(delta) or thought,
        is_refusal=bool(refusal),
        is_whole=is_whole,
        calls_tool=any(piece.name or piece.arguments for piece in calls),
        tool=next((piece.name for piece in calls if piece.name), None),
        calls=calls,
        finish_reason=reason_in(choice.get("finish_reason"), choice.get("native_finish_reason"))
        or reason_in(choice.get("finishReason"))
        or ("stop" if is_whole else None),
        usage=_usage(value, choice),
        complaint=complaint_in(value, is_error=is_error) or complaint_in(choice, is_inner=True),
    )


def _choice_in(value: dict[str, Any]) -> dict[str, Any]:
    """Return the first choice, the only one that was asked for."""
    choices = value.get("choices")
    found = [choice for choice in _listed(choices) if isinstance(choice, dict)]
    first = [choice for choice in found if choice.get("index") in (0, None)]
    return next(iter(first or found), {})


def _choice_of_ollama(value: dict[str, Any]) -> dict[str, Any]:
    """Return what Ollama's own protocol says, as a choice: the next piece, in `message` or in `response`."""
    done = value.get("done")
    if not isinstance(done, bool):
        return {}
    piece = value.get("message") or {"content": value.get("response")}
    return {"delta": piece, "finish_reason": (value.get("done_reason") or "stop") if done else None}


def _delta_in(choice: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return what comes next, or the whole message that came instead of it."""
    delta, message = choice.get("delta"), choice.get("message")
    if isinstance(delta, dict) and delta:
        return delta, False
    if isinstance(message, dict):
        return message, True
    return ({"content": delta} if isinstance(delta, str) else {}), False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _said(content: Any) -> tuple[str, str]:
    """Return the text and the reasoning of a content, which may be a list of parts (Mistral's are)."""
    parts = _listed(content)
    thoughts = [part for part in parts if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning")]
    texts = [part for part in parts if not any(part is thought for thought in thoughts)]
    inner = [_text(thought.get("thinking") or thought.get("text") or thought.get("content")) for thought in thoughts]
    return _text(texts), "".join(inner)


def _text(value: Any) -> str:
    """Return the text of a string, a number, a part or a list of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text, value))
    if isinstance(value, dict):
        return next((_text(value[name]) for name in ("text", "content") if value.get(name)), "")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(value) if is_number else ""


def _transcript(delta: dict[str, Any]) -> str:
    """Return what is spoken, where an answer is sound."""
    audio = delta.get("audio")
    return _text(audio.get("transcript")) if isinstance(audio, dict) else ""


def _reasoning(delta: dict[str, Any]) -> str:
    """Return what the model thinks, under the first of its names: some services send it under two at once."""
    names = ("reasoning_content", "reasoning", "thinking")
    details = [detail for detail in _listed(delta.get("reasoning_details")) if isinstance(detail, dict)]
    detailed = "".join(_text(detail.get("text") or detail.get("summary")) for detail in details)
    return next((text for name in names if (text := _text(delta.get(name)))), detailed)


def _calls_in(delta: dict[str, Any]) -> list[CallPiece]:
    """Return what there is of calls of tools."""
    calls = [call for call in _listed(delta.get("tool_calls")) if isinstance(call, dict)]
    functions = [(call, call["function"]) for call in calls if isinstance(call.get("function"), dict)]
    functions += [({}, delta["function_call"])] if isinstance(delta.get("function_call"), dict) else []
    pieces = [_piece(call, function) for call, function in functions]
    return [piece for piece in pieces if piece.id or piece.name or piece.arguments]


def _piece(call: dict[str, Any], function: dict[str, Any]) -> CallPiece:
    number, call_id, name = call.get("index"), call.get("id"), function.get("name")
    arguments = function.get("arguments")
    return CallPiece(
        number if isinstance(number, int) and not isinstance(number, bool) else UNNUMBERED,
        without_halves(call_id) if isinstance(call_id, str) and call_id else None,
        without_halves(name) if isinstance(name, str) and name else None,
        # Ollama's own protocol has them as an object
        without_halves(arguments) if isinstance(arguments, str) else json.dumps(arguments) if arguments else "",
    )


def _usage(value: dict[str, Any], choice: dict[str, Any]) -> Usage | None:
    """Find the usage: where OpenAI has it, where Groq has it, or in the choice, where Moonshot has it."""
    groq = value.get("x_groq")
    places = (value.get("usage"), groq.get("usage") if isinstance(groq, dict) else None, choice.get("usage"), value)
    return next((usage for place in places if (usage := usage_in(place))), None)
