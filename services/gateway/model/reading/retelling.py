"""Retell an answer to a client of OpenAI's: event by event the service's own bytes, where they are right.

What our reader had to mend (an odd shape, half a character, calls of tools whose numbers are not to be told apart, a
whole answer where a stream was asked for) is spelled anew from what it read.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.gateway.model.chunks import BETWEEN, CallPiece, Chunk, Usage
from services.gateway.model.ending import ERROR, reason_of
from services.gateway.model.reading.known_shapes import FUNCTION
from services.gateway.model.reading.readable import CHUNK, REASONS, WHOLE, is_odd, lacks_something, readable, tells_role
from services.gateway.model.reading.usage import spelled
from services.gateway.model.relayed import Relayed
from shared.ids import new_id

HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


class Retelling:
    """Says what is told of each event."""

    def __init__(self, request: Relayed) -> None:
        self._request = request
        self._first: bytes | None = None  # the first event with a choice that was passed on
        self._head: dict[str, Any] | None = None
        self._lacks: bool | None = None  # the first event lacked something, and so do the others; none: none has come
        self._has_role = False  # it was told whose the answer is
        self._own_head: dict[str, Any] | None = None

    def pass_on(self, event: bytes, chunk: Chunk, *, is_text: bool = False) -> None:
        """Tell an event of the usual shape as it came; one that says only what nobody but us has asked for, not.

        Args:
            event: Which.
            chunk: What it says.
            is_text: That is known to be no more than the next piece of the text, or the end.
        """
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
        lacks = self._lacks if self._lacks is not None else self._look_at(event)
        may_be_odd = chunk.finish_reason is not None or not (is_text or chunk.calls)
        if lacks or (may_be_odd and is_odd(event)) or not (self._has_role or self._tells_role(event, chunk)):
            event = self._completed(event, CHUNK)
        chunk.told = _told(event)

    @property
    def tells_text(self) -> bool:
        """Whether events with nothing but text are told as they come from now on, if they are told."""
        return not self._request.streams or (self._lacks is False and self._has_role)

    def pass_on_text(self, events: Sequence[bytes], chunk: Chunk) -> None:
        """Tell such events, which are one chunk."""
        if self._request.streams:
            chunk.told = BETWEEN.join(map(_told, events))

    def renumber(self, event: bytes, chunk: Chunk) -> None:
        """Tell an event whose calls are read otherwise than they came, with all else that it has.

        Gemini wants back what stands beside a call, its signature (https://github.com/THU-MAIC/OpenMAIC/issues/1556).
        """
        try:
            value = orjson.loads(event)
            choice = value["choices"][0]
            calls = choice["message" if chunk.is_whole else "delta"]["tool_calls"]
            if len(calls) != len(chunk.calls):
                raise ValueError("some of them say nothing")
            for call, piece in zip(calls, chunk.calls, strict=True):
                _correct(call, piece, is_whole=chunk.is_whole)
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
        delta = delta_of(chunk)
        if chunk.is_piece and not self._has_role:
            self._has_role = True
            delta = {"role": "assistant", **delta}
        chunk.told = chunk_bytes(self._known_head(), delta, finish_reason_of(chunk), usage)

    def _look_at(self, event: bytes) -> bool:
        """Tell whether an event lacks something; what Azure says before the first choice says nothing of the others."""
        lacks = lacks_something(event, CHUNK)
        if b'"delta"' in event:
            self._first, self._lacks = event, lacks
        return lacks

    def _tells_role(self, event: bytes, chunk: Chunk) -> bool:
        """Tell whether an event need not say whose the answer is: it does, or is no piece of it."""
        self._has_role = tells_role(event)
        return self._has_role or not chunk.is_piece

    def _tell_whole(self, event: bytes, chunk: Chunk) -> None:
        reason = chunk.finish_reason
        if self._request.streams:
            self._first = event
            self.respell(chunk)
        elif reason in REASONS:
            is_right = tells_role(event) and not lacks_something(event, WHOLE)
            chunk.told = event if is_right else self._completed(event, WHOLE)

    def _completed(self, event: bytes, kind: str) -> bytes:
        """Give an event what it lacks, and leave out what says nothing, or what OpenAI's clients cannot read."""
        value = _value_of(event)
        if value is None:
            return event
        for number, choice in enumerate(value["choices"]):
            choice.setdefault("index", number)
            reason = choice.get("finish_reason")
            choice["finish_reason"] = reason if reason in REASONS else None
            self._give_role(choice)
        return orjson.dumps({**self._readable(value), "object": kind})

    def _readable(self, value: Mapping[str, Any]) -> dict[str, Any]:
        if self._own_head is None:
            self._own_head = {"id": f"chatcmpl-{new_id().hex}", "created": int(time.time()), "model": ""}
        return readable(value, self._own_head)

    def _give_role(self, choice: dict[str, Any]) -> None:
        """Say whose an answer is, where its first piece does not: OpenAI's SDK for JavaScript refuses it without."""
        told = choice.get("message") or choice.get("delta")
        if self._has_role or not isinstance(told, dict):
            return
        self._has_role = True
        told["role"] = "assistant"

    def _known_head(self) -> Mapping[str, Any]:
        """Return what every chunk of this answer has, by the first one: a client may join them by it."""
        if self._head is None:
            said = self._readable((self._first and _value_of(self._first)) or {})
            self._head = {name: said[name] for name in HEAD if name in said}
        return self._head


def _told(event: bytes) -> bytes:
    """Spell the data of an event, which may be several lines."""
    return event.replace(b"\n", b"\ndata: ") if b"\n" in event else event


def _value_of(event: bytes) -> dict[str, Any] | None:
    """Return what an event says; None where that cannot be spelled anew, for what nobody reads of it here."""
    try:
        value: dict[str, Any] = orjson.loads(event)
    except ValueError:
        return None
    return value


def chunk_bytes(
    head: Mapping[str, Any], delta: Mapping[str, Any], finish_reason: str | None = None, usage: Usage | None = None
) -> bytes:
    """Spell a `chat.completion.chunk`."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}] if delta or finish_reason else []
    told = {**new_head(), **head, "object": CHUNK, "choices": choices}
    return orjson.dumps(told | ({"usage": spelled(usage)} if usage else {}))


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


def _correct(call: dict[str, Any], piece: CallPiece, *, is_whole: bool) -> None:
    """Let a call, or a piece of one, be as it was read."""
    kind, arguments = ("custom", "input") if piece.is_custom else (FUNCTION, "arguments")
    tool = call.get(kind) or {}
    for place, name, value in ((call, "id", piece.id), (tool, "name", piece.name)):
        if value is not None:
            place[name] = value
        else:
            place.pop(name, None)
    if piece.name or "type" in call:
        call["type"] = kind
    if tool:
        tool[arguments] = piece.arguments
    if not is_whole:
        call["index"] = piece.index


def _call_of(piece: CallPiece) -> dict[str, Any]:
    begins = {"id": piece.id, "type": FUNCTION} if piece.name and piece.id else {}
    function = {"name": piece.name} if piece.name else {}
    return {"index": piece.index, **begins, "function": {**function, "arguments": piece.arguments}}


def finish_reason_of(chunk: Chunk) -> str | None:
    """Spell why it ended, in OpenAI's words; an error has none among them, and is told otherwise."""
    reason = reason_of(chunk.finish_reason) if chunk.finish_reason else None
    return None if reason == ERROR else reason


def sse(events: Sequence[bytes]) -> bytes:
    """Spell events of a stream."""
    return b"".join([b"data: %s\n\n" % event for event in events if event])
