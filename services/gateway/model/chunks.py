"""What the events of a model's answer say, in one shape however the service spells it.

The shape that nearly every chunk has is decoded by msgspec, at once into what is needed. Whatever does not fit it is
read as a JSON value (`lenient.py`), and only then passed over: nothing of the text is lost to an odd field beside it.
"""

from typing import Any

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Tokens; none where the service does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Complaint(msgspec.Struct, frozen=True):
    """What a service says of what went wrong. Not everything of it may be passed on: see `complaints.py`."""

    status: int | None = None  # as HTTP has them; services write it into a stream too
    name: str | None = None  # the word that programs know it by
    text: str | None = None


class Chunk(msgspec.Struct):
    """What one event says."""

    text: str = ""
    reasoning: str = ""
    is_refusal: bool = False  # the text is why the model will not answer
    is_whole: bool = False  # it is all of the answer, not what comes next
    calls_tool: bool = False  # there is something of a tool's call in it
    tool: str | None = None  # the name of the first tool that it begins to call
    finish_reason: str | None = None  # in the service's words
    usage: Usage | None = None
    complaint: Complaint | None = None
    is_done: bool = False  # nothing comes after it

    @property
    def is_piece(self) -> bool:
        """Whether the answer goes on with it: signs of life alone do not count."""
        return bool(self.text or self.reasoning or self.calls_tool or self.finish_reason)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _KnownShape(msgspec.Struct):
    choices: list[_Choice]
    usage: Any = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_KnownShape)


def read_known_shape(event: bytes) -> Chunk | None:
    """Read a chunk that says a piece of text or of reasoning and nothing else; None where it must be looked at."""
    try:
        known = _DECODER.decode(event)
    except (ValueError, RecursionError):
        return None
    if len(known.choices) != 1 or known.usage or known.error:
        return None
    choice = known.choices[0]
    delta = choice.delta
    if choice.finish_reason or delta.refusal or delta.tool_calls or delta.function_call:
        return None
    reasoning = delta.reasoning_content or delta.reasoning
    if delta.content:
        return Chunk(delta.content, reasoning or "")
    return Chunk("", reasoning) if reasoning else None
