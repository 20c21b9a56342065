"""Retell an answer to a client of OpenAI's: event by event the service's own bytes, where they are right.

What our reader had to mend (an odd shape, half a character, calls of tools whose numbers are not to be told apart, a
whole answer where a stream was asked for) is spelled anew from what it read.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.gateway.model.chunks import CallPiece, Chunk, Usage
from services.gateway.model.ending import ERROR, FILTERED, LENGTH, STOP, TOOLS, reason_of
from services.gateway.model.relayed import Relayed
from shared.ids import new_id

REASONS = frozenset((STOP, LENGTH, FILTERED, TOOLS))  # OpenAI's words
# What clients in languages with types cannot do without (https://github.com/zed-industries/zed/issues/37022), and what
# they take for a reason that they do not know: https://github.com/OpenSecretCloud/maple-proxy/issues/3.
NAMES = (b'"id"', b'"object"', b'"created"', b'"model"')
NO_REASON = re.compile(rb'"finish_reason"\s*:\s*"(?:null|none)?"', re.IGNORECASE)
NO_USAGE = re.compile(rb'"usage"\s*:\s*\{\s*\}')
HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


class Retelling:
    """Says what is told of each event."""

    def __init__(self, request: Relayed) -> None:
        self._request = request
        self._first: bytes | None = None  # the first event that was passed on
        self._head: dict[str, Any] | None = None
        self._lacks = False  # the first event lacked something, and so do the others
        self._own_head: dict[str, Any] | None = None

    def pass_on(self, event: bytes, chunk: Chunk) -> None:
        """Tell an event of the usual shape as it came; one that says only what nobody but us has asked for, not."""
        if chunk.is_whole:
            self._tell_whole(event, chunk)
            return
        if not self._request.streams:
            return
        if chunk.usage is not None and not chunk.is_piece and not self._request.wants_usage:
            return
        if chunk.finish_reason is not None and chunk.finish_reason not in REASONS:
            self.respell(chunk)
            return
        if self._first is None:
            self._first, self._lacks = event, lacks_something(event)
        if self._lacks:
            event = self._completed(event, "chat.completion.chunk")
        chunk.told = event.replace(b"\n", b"\ndata: ") if b"\n" in event else event

    def renumber(self, event: bytes, chunk: Chunk) -> None:
        """Tell an event whose calls have other numbers now, with all else that it has.

        Gemini wants back what stands beside a call, its signature (https://github.com/THU-MAIC/OpenMAIC/issues/1556).
        """
        try:
            value = orjson.loads(event)
            calls = value["choices"][0]["delta"]["tool_calls"]
            if len(calls) != len(chunk.calls):
                raise ValueError("some of them say nothing")
            for call, piece in zip(calls, chunk.calls, strict=True):
                call["index"] = piece.index
        except (ValueError, LookupError, TypeError):
            self.respell(chunk)
        else:
            self.pass_on(orjson.dumps(value), chunk)

    def respell(self, chunk: Chunk) -> None:
        """Tell what was read of an event, in OpenAI's words."""
        if not self._request.streams or chunk.complaint is not None:
            return
        usage = chunk.usage if self._request.wants_usage else None
        if not chunk.is_piece and usage is None:
            return
        chunk.told = chunk_bytes(self._known_head(), delta_of(chunk), finish_reason_of(chunk), usage)

    def _tell_whole(self, event: bytes, chunk: Chunk) -> None:
        reason = chunk.finish_reason
        if self._request.streams:
            self._first = event
            self.respell(chunk)
        elif reason in REASONS:
            chunk.told = event if has_all_names(event) else self._completed(event, "chat.completion")

    def _completed(self, event: bytes, kind: str) -> bytes:
        """Give an event what it lacks, and leave out what says nothing."""
        if self._own_head is None:
            self._own_head = {"id": f"chatcmpl-{new_id().hex}", "created": int(time.time()), "model": ""}
        value = _value_of(event)
        if value is None:
            return event
        for number, choice in enumerate(value["choices"]):
            choice.setdefault("index", number)
            reason = choice.get("finish_reason")
            choice["finish_reason"] = reason if reason in REASONS else None
        known = {name: each for name, each in value.items() if each not in (None, {})}
        return orjson.dumps({**self._own_head, "object": kind, **known})

    def _known_head(self) -> Mapping[str, Any]:
        """Return what every chunk of this answer has, by the first one: a client may join them by it."""
        if self._head is None:
            said = {**(self._own_head or {}), **((self._first and _value_of(self._first)) or {})}
            self._head = {name: said[name] for name in HEAD if said.get(name) is not None}
        return self._head


def lacks_something(event: bytes) -> bool:
    """Tell whether an event of the usual shape is none that every client reads."""
    return not has_all_names(event) or NO_REASON.search(event) is not None or NO_USAGE.search(event) is not None


def _value_of(event: bytes) -> dict[str, Any] | None:
    """Return what an event says; None where that cannot be spelled anew, for what nobody reads of it here."""
    try:
        value: dict[str, Any] = orjson.loads(event)
    except ValueError:
        return None
    return value


def has_all_names(event: bytes) -> bool:
    return all(name in event for name in NAMES)


def chunk_bytes(
    head: Mapping[str, Any], delta: Mapping[str, Any], finish_reason: str | None = None, usage: Usage | None = None
) -> bytes:
    """Spell a `chat.completion.chunk`."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}] if delta or finish_reason else []
    told = {**new_head(), **head, "object": "chat.completion.chunk", "choices": choices}
    return orjson.dumps(told | ({"usage": usage_of(usage)} if usage else {}))


def new_head() -> dict[str, Any]:
    """Return what every chunk of an answer has, where its service did not say."""
    return {"id": "chatcmpl", "created": int(time.time()), "model": ""}


def delta_of(chunk: Chunk) -> dict[str, Any]:
    """Spell what comes next."""
    delta: dict[str, Any] = {}
    if chunk.text:
        delta["refusal" if chunk.is_refusal else "content"] = chunk.text
    if chunk.reasoning:
        delta["reasoning_content"] = chunk.reasoning
    if chunk.calls:
        delta["tool_calls"] = [_call_of(piece) for piece in chunk.calls]
    return delta


def _call_of(piece: CallPiece) -> dict[str, Any]:
    begins = {"id": piece.id or f"call_{piece.index}", "type": "function"} if piece.name else {}
    function = {"name": piece.name} if piece.name else {}
    return {"index": piece.index, **begins, "function": {**function, "arguments": piece.arguments}}


def finish_reason_of(chunk: Chunk) -> str | None:
    """Spell why it ended, in OpenAI's words; an error has none among them, and is told otherwise."""
    reason = reason_of(chunk.finish_reason) if chunk.finish_reason else None
    return None if reason == ERROR else reason


def usage_of(usage: Usage) -> dict[str, int]:
    """Spell tokens."""
    asked, said = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def sse(events: Sequence[bytes]) -> bytes:
    """Spell events of a stream."""
    return b"".join([b"data: %s\n\n" % event for event in events if event])
