"""The shapes that nearly every chunk has, so that it costs nothing to look at the rest.

Whatever would make a difference has a type that refuses it: then `lenient.py` has the word, and the two always agree.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.model.chunks import CallPiece, Chunk
from services.gateway.model.ending import ERROR, reason_of
from services.gateway.model.reading.usage import usage_in

NO_REASON = frozenset(("", "null", "none"))
FUNCTION = "function"  # the type of a call


class _AnyDelta(msgspec.Struct, gc=False, kw_only=True):
    """What no usual delta or message has."""

    thinking: None = None
    audio: None = None
    function_call: None = None


class _AnyChoice(msgspec.Struct, gc=False, kw_only=True):
    """What a usual choice may have beside what it says, and what none has."""

    finish_reason: str | None = None
    native_finish_reason: str | None = None
    finishReason: None = None  # noqa: N815 - as Gemini writes it
    text: None = None
    usage: None = None
    error: None = None


class _AnyChunk(msgspec.Struct, kw_only=True):
    """What a usual chunk may have beside its choices, and what none has."""

    usage: Any = None
    x_groq: None = None
    error: None = None


class _TextDelta(_AnyDelta, kw_only=True):
    content: str | None = None
    refusal: None = None
    reasoning_content: None = None
    reasoning: None = None
    reasoning_details: None = None
    tool_calls: None = None


class _TextChoice(_AnyChoice, kw_only=True):
    delta: _TextDelta
    message: None = None


class _TextChunk(_AnyChunk, gc=False, kw_only=True):
    """The next piece of the text, or the end."""

    choices: tuple[_TextChoice]
    usage: None = None


class _Delta(_AnyDelta, kw_only=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    refusal: None = None
    tool_calls: None = None


class _Choice(_AnyChoice, kw_only=True):
    delta: _Delta
    message: None = None


class _UsualChunk(_AnyChunk, kw_only=True):
    """Beginning, text, reasoning, end or usage."""

    choices: list[_Choice]


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Custom(msgspec.Struct, gc=False):
    """What a tool is called with that is no function: a text."""

    name: str | None = None
    input: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: int
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None


class _CallsDelta(_AnyDelta, kw_only=True):
    tool_calls: list[_Call]
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: None = None
    refusal: None = None


class _CallsChoice(_AnyChoice, kw_only=True):
    delta: _CallsDelta
    message: None = None


class _CallsChunk(_AnyChunk, kw_only=True):
    """What comes next of calls of tools."""

    choices: tuple[_CallsChoice]


class _WholeCall(msgspec.Struct, gc=False):
    function: _Function
    id: str | None = None
    type: str | None = None
    index: int | None = None


class _Message(_AnyDelta, kw_only=True):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    tool_calls: list[_WholeCall] | None = None


class _WholeChoice(_AnyChoice, kw_only=True):
    message: _Message
    finish_reason: str
    delta: None = None


class _Whole(_AnyChunk, kw_only=True):
    """An answer that came at once."""

    choices: tuple[_WholeChoice]


_text_chunk = msgspec.json.Decoder(_TextChunk).decode
_text_chunks = msgspec.json.Decoder(list[_TextChunk]).decode
_usual_chunk = msgspec.json.Decoder(_UsualChunk).decode
_calls_chunk = msgspec.json.Decoder(_CallsChunk).decode
_whole = msgspec.json.Decoder(_Whole).decode
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


def read_texts(events: Sequence[bytes]) -> str | None:
    """Read what came together at once, which costs a tenth of reading it piece by piece.

    Returns:
        The text; none where any of it is not the next piece of the text and nothing else.
    """
    try:
        read = _text_chunks(b"[%b]" % b",".join(events))
    except UNFIT:
        return None
    choices = [chunk.choices[0] for chunk in read]
    if len(choices) != len(events) or any(choice.finish_reason for choice in choices):
        return None
    return "".join([choice.delta.content or "" for choice in choices])


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


def read_calls(event: bytes) -> Chunk | None:
    """Read a chunk with pieces of calls in the usual shape; None where it has another."""
    try:
        said = _calls_chunk(event)
    except UNFIT:
        return None
    delta, choice = said.choices[0].delta, said.choices[0]
    calls = [_piece(call) for call in delta.tool_calls]
    return Chunk(
        text=delta.content or "",
        reasoning=delta.reasoning_content or "",
        calls_tool=any(piece.name or piece.arguments for piece in calls),
        tool=next((piece.name for piece in calls if piece.name), None),
        calls=calls,
        finish_reason=reason_in(choice.finish_reason, choice.native_finish_reason),
        usage=usage_in(said.usage),
    )


def _piece(call: _Call) -> CallPiece:
    if call.custom is not None:
        return CallPiece(call.index, call.id or None, call.custom.name or None, call.custom.input or "", is_custom=True)
    name, arguments = (call.function.name, call.function.arguments) if call.function else (None, None)
    return CallPiece(call.index, call.id or None, name or None, arguments or "", is_odd=_is_odd(call))


def _is_odd(call: _Call | _WholeCall) -> bool:
    """Tell whether a piece has an empty name or id, which some clients take for the call's, or begins with too little.

    https://github.com/huggingface/tau/pull/715, https://github.com/lazy-hq/aisdk/pull/121
    """
    name, arguments = (call.function.name, call.function.arguments) if call.function else (None, None)
    if name is not None and arguments is None:
        return True
    return call.id == "" or name == "" or (call.type != FUNCTION and (call.type or name) is not None)


def read_whole(body: bytes) -> Chunk | None:
    """Read an answer that came at once, in the usual shape; None where it has another."""
    try:
        said = _whole(body)
    except UNFIT:
        return None
    choice, message = said.choices[0], said.choices[0].message
    if message.reasoning_details and not (message.reasoning_content or message.reasoning):
        return None
    calls = [
        CallPiece(number, call.id or None, name or None, call.function.arguments or "", is_odd=_is_odd(call))
        for number, call in enumerate(message.tool_calls or ())
        for name in (call.function.name,)
    ]
    return Chunk(
        text=(message.content or "") + (message.refusal or ""),
        reasoning=message.reasoning_content or message.reasoning or "",
        is_refusal=bool(message.refusal),
        is_whole=True,
        calls_tool=bool(calls),
        tool=next((piece.name for piece in calls if piece.name), None),
        calls=calls,
        finish_reason=reason_in(choice.finish_reason, choice.native_finish_reason) or "stop",
        usage=usage_in(said.usage),
    )


def reason_in(value: Any, native: Any = None) -> str | None:
    """Return a finish reason; some services write the lack of one in a word.

    Args:
        value: The reason.
        native: In the words of the service behind a router; OpenRouter calls an end `stop` that was an error there.
    """
    if not isinstance(value, str) or value.lower() in NO_REASON:
        return None
    return native if isinstance(native, str) and reason_of(native) == ERROR else value
