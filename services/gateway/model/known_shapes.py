"""The shapes that nearly every chunk has, so that it costs nothing to look at the rest.

Whatever would make a difference has a type that refuses it: then `lenient.py` has the word, and the two always agree.
"""

from typing import Any

import msgspec

from services.gateway.model.chunks import Chunk
from services.gateway.model.ending import ERROR, reason_of
from services.gateway.model.usage import usage_in

NO_REASON = frozenset(("", "null", "none"))


class _TextDelta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: None = None
    reasoning_content: None = None
    reasoning: None = None
    reasoning_details: None = None
    thinking: None = None
    audio: None = None
    tool_calls: None = None
    function_call: None = None


class _TextChoice(msgspec.Struct, gc=False):
    delta: _TextDelta
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    finishReason: None = None  # noqa: N815 - as Gemini writes it
    text: None = None
    message: None = None
    usage: None = None
    error: None = None


class _TextChunk(msgspec.Struct, gc=False):
    """The next piece of the text, or the end."""

    choices: tuple[_TextChoice]
    usage: None = None
    x_groq: None = None
    error: None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    refusal: None = None
    thinking: None = None
    audio: None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    finishReason: None = None  # noqa: N815 - as Gemini writes it
    text: None = None
    message: None = None
    usage: None = None
    error: None = None


class _UsualChunk(msgspec.Struct):
    """Beginning, text, reasoning, end or usage."""

    choices: list[_Choice]
    usage: Any = None
    x_groq: None = None
    error: None = None


_text_chunk = msgspec.json.Decoder(_TextChunk).decode
_usual_chunk = msgspec.json.Decoder(_UsualChunk).decode
UNFIT = (ValueError, RecursionError)  # msgspec's own errors are ValueErrors, and so is that of invalid UTF-8


def read_text(event: bytes) -> Chunk:
    """Read the next piece of the text, or the end.

    Raises:
        ValueError, RecursionError: It is something else.
    """
    choice = _text_chunk(event).choices[0]
    chunk = Chunk(choice.delta.content or "")
    if choice.finish_reason is not None:
        chunk.finish_reason = reason_in(choice.finish_reason, choice.native_finish_reason)
    return chunk


def read_usual(event: bytes) -> Chunk | None:
    """Read a chunk of the usual shape; None where it has another."""
    try:
        usual = _usual_chunk(event)
    except UNFIT:
        return None
    if len(usual.choices) > 1:
        return None
    chunk = Chunk(usage=usage_in(usual.usage))
    if usual.choices:
        choice = usual.choices[0]
        chunk.text = choice.delta.content or ""
        chunk.reasoning = choice.delta.reasoning_content or choice.delta.reasoning or ""
        if choice.delta.reasoning_details and not chunk.reasoning:
            return None
        chunk.finish_reason = reason_in(choice.finish_reason, choice.native_finish_reason)
    return chunk


def reason_in(value: Any, native: Any = None) -> str | None:
    """Return a finish reason; some services write the lack of one in a word.

    Args:
        value: The reason.
        native: In the words of the service behind a router; OpenRouter calls an end `stop` that was an error there.
    """
    if not isinstance(value, str) or value.lower() in NO_REASON:
        return None
    return native if isinstance(native, str) and reason_of(native) == ERROR else value
