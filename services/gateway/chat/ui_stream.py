"""Write a turn for its caller: the AI SDK's UI message stream (version 1), plain text, or one JSON record.

Every part of a stream has an id, `turn:place`. The place is how many parts and characters of text there are up to its
end: the same however the text was cut into pieces, and whether it is read from memory or from the turn's row. Each
attempt at a turn has an answer of its own, so of a later one than the first the id is `turn:attempt.place`, and where
its user has let it go on, `turn:attempt.revision.place`.

What comes of calls at once has no order that a row would know. So a result has no place of its own, and is written
again for who reads on.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from services.gateway.turns.call_parts import asks, begins, ends, waits
from services.gateway.turns.here.buffer import Reasoning, TurnBuffer
from services.gateway.turns.pieces import PARAGRAPH, Whole
from services.gateway.turns.turn import Turn
from shared.errors import TripthreadError

UI_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
    "x-vercel-ai-ui-message-stream": "v1",
}
TEXT_HEADERS = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
KEEPALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
# How the AI SDK spells a finish reason. Its finish part has had one since 5.0.92 (https://github.com/vercel/ai/pull/10126).
SDK_REASONS = {"content_filter": "content-filter", "tool_calls": "tool-calls"}
_UNFINISHED = {
    "interrupted": "The answer was interrupted.",
    "failed": "The model could not answer.",
}


_PART_ID = re.compile(r"([0-9a-fA-F-]{36}):(?:([0-9]{1,9})\.(?:([0-9]{1,9})\.)?)?([0-9]{1,9})")


@dataclass(frozen=True)
class PartId:
    """How far somebody has read a turn's stream."""

    turn_id: UUID
    attempt: int
    place: int
    revision: int = 0

    @classmethod
    def read(cls, text: str) -> "PartId | None":
        """Read the id of a part; None where it is none of ours."""
        found = _PART_ID.fullmatch(text)
        try:
            return cls(UUID(found[1]), int(found[2] or 1), int(found[4]), int(found[3] or 0)) if found else None
        except ValueError:
            return None

    def within(self, turn: Turn) -> int:
        """Return how much of this turn's stream was read; nothing of another one's, or of another attempt's."""
        read = self.turn_id, self.attempt, self.revision
        return self.place if read == (turn.turn_id, turn.attempt, revision_of(turn)) else 0


def revision_of(turn: Turn) -> int:
    """Return how often its user has let a turn go on, whether it runs or has ended."""
    return turn.revision if turn.answer is None else turn.answer.revision


class PartWriter:
    """Writes the parts of one turn's stream, each with its place, from the one `after` a place."""

    def __init__(self, turn: Turn, after: int = 0, *, has_carried: bool = False) -> None:
        """Begin a stream; `has_carried`: who reads it has the parts that the turn has of an earlier revision."""
        revision = revision_of(turn)
        attempt = f"{turn.attempt}." if turn.attempt > 1 or revision else ""
        self._id = f"id: {turn.turn_id}:{attempt}{f'{revision}.' if revision else ''}".encode()
        self._known_parts = turn.carried if has_carried else 0
        self._parts = 0
        self._calls: dict[str, dict[str, Any]] = {}  # in their last state
        self._after = after
        self._place = 0
        self._open: tuple[str, str] | None = None  # the kind and the id of the text or reasoning that goes on
        self._opened = 0

    def part(self, **fields: Any) -> bytes:
        self._place += 1
        return self._event(orjson.dumps(fields)) if self._place > self._after else b""

    def delta(self, piece: str) -> bytes:
        """Write the next piece; a kind that is not the last one's begins a part of its own."""
        if isinstance(piece, Whole):
            return self.close() + self._whole(piece.part)
        kind = "reasoning" if isinstance(piece, Reasoning) else "text"
        begin = b"" if self._open and self._open[0] == kind else self.close() + self._begin(kind)
        if self._known_parts and self._is_known:
            self._place += len(piece)
            return b""
        assert self._open is not None  # noqa: S101 - it has just begun
        known = max(self._after - self._place, 0)
        self._place += len(piece)
        if known >= len(piece):
            return begin
        head = f'{{"type":"{kind}-delta","id":"{self._open[1]}","delta":'.encode()
        return begin + self._event(b"%s%s}" % (head, orjson.dumps(str(piece[known:]))))

    @property
    def _is_known(self) -> bool:
        return 0 < self._parts <= self._known_parts

    def close(self) -> bytes:
        """End what is open."""
        if self._open is None:
            return b""
        (kind, part_id), self._open = self._open, None
        return self._unless_known(self.part(type=f"{kind}-end", id=part_id))

    def _unless_known(self, event: bytes) -> bytes:
        return b"" if self._known_parts and self._is_known else event

    def _whole(self, part: dict[str, Any]) -> bytes:
        """Write what comes whole: where a round begins, or how far a call is."""
        call_id = part.get("toolCallId")
        if call_id is None:
            self._parts += 1
            begin = self.part(type="finish-step") + self.part(type="start-step")
            return self._unless_known(begin)
        before = self._calls.get(call_id)
        self._parts += before is None
        is_new = before is None
        self._calls[call_id] = part
        begun = self._call_events(begins(part)) if is_new else b""
        asked = self._call_events(asks(part)) if waits(part) and not (before and waits(before)) else b""
        shown = self._unless_known(begun + asked) if is_new else asked
        if before is not None and before["state"] == part["state"]:
            return shown
        result = ends(part)
        is_had = self._is_known and is_new and "approval" not in part  # it had ended when its user was asked
        return shown if not result or is_had else shown + self._result(result)

    def _call_events(self, events: Sequence[dict[str, Any]]) -> bytes:
        return b"".join([self.part(**fields) for fields in events])

    def _result(self, fields: dict[str, Any]) -> bytes:
        return self._event(orjson.dumps(fields))

    def end(self, closing: Sequence[dict[str, Any]]) -> bytes:
        """Write the closing parts; all of them, where somebody has read more than was kept of a turn that broke off."""
        parts = len(closing) + (self._open is not None)
        if self._after > self._place + parts:
            self._after = self._place
        return self.close() + b"".join([self.part(**fields) for fields in closing])

    def _begin(self, kind: str) -> bytes:
        self._parts += 1
        self._opened += 1
        self._open = (kind, kind if self._opened == 1 else f"{kind}-{self._opened}")
        return self._unless_known(self.part(type=f"{kind}-start", id=self._open[1]))

    def _event(self, data: bytes) -> bytes:
        return b"%s%d\ndata: %s\n\n" % (self._id, self._place, data)


async def ui_stream(buffer: TurnBuffer, after: int = 0, *, has_carried: bool = False) -> AsyncIterator[bytes]:
    """Yield the turn as server-sent events, in the parts that `useChat` reads, from the one after a place.

    Whoever goes on with an answer (`has_carried`) has the parts of it up to the call that its user was asked about.
    """
    turn, writer = buffer.turn, PartWriter(buffer.turn, after, has_carried=has_carried)
    metadata = {"session_id": turn.session_id, "turn_id": str(turn.turn_id)}
    start = writer.part(type="start", messageId=turn.answer_id, messageMetadata=metadata)
    step = writer.part(type="start-step")
    if begin := start if has_carried else start + step:
        yield begin
    try:
        async for piece in buffer.follow_all():
            event = writer.delta(piece) if piece else KEEPALIVE
            if event:
                yield event
    except TripthreadError as error:
        yield writer.end([{"type": "error", "errorText": error.detail}]) + DONE
        return
    yield writer.end(_closing_parts(buffer.ended)) + DONE


def _closing_parts(turn: Turn | None) -> list[dict[str, Any]]:
    answer = turn.answer if turn else None
    metadata = answer.metadata if answer else {"finish_reason": "error"}
    if answer is None or answer.status in _UNFINISHED:
        text = (answer.error if answer else None) or _UNFINISHED["interrupted"]
        return [{"type": "message-metadata", "messageMetadata": metadata}, {"type": "error", "errorText": text}]
    if answer.status == "stopped":
        return [{"type": "abort"}]  # the AI SDK 5 refuses one with a reason, which it does not know
    reason = answer.finish_reason
    told = {"finishReason": SDK_REASONS.get(reason, reason), "messageMetadata": metadata} if reason else {}
    return [{"type": "finish-step"}, {"type": "finish", **told}]


async def text_stream(buffer: TurnBuffer) -> AsyncIterator[bytes]:
    """Yield the answer's text and nothing else; what was said in another round is another paragraph.

    Raises:
        BrokenPipeError: The answer did not come to its end, which plain text can only say by breaking off.
    """
    has_text = is_apart = False
    try:
        async for piece in buffer.follow_all():
            if isinstance(piece, Whole):
                is_apart = is_apart or (has_text and piece.call_id is None)
            elif type(piece) is str:
                yield (f"{PARAGRAPH}{piece}" if is_apart and piece else piece).encode()
                has_text, is_apart = has_text or bool(piece), is_apart and not piece
    except TripthreadError as error:
        raise BrokenPipeError(error.detail) from error
    answer = buffer.ended.answer if buffer.ended else None
    if answer is None or answer.status in _UNFINISHED:
        raise BrokenPipeError("the answer was interrupted")
