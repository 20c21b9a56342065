"""Write a turn for its caller: the AI SDK's UI message stream (version 1), plain text, or one JSON record.

Every part of a stream has an id `turn:number`.
"""

from collections.abc import AsyncIterator
from typing import Any

import orjson

from services.gateway.turns.buffer import TurnBuffer
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
TEXT_ID = "text"
_UNFINISHED = {
    "interrupted": "The answer was interrupted.",
    "failed": "The model could not answer.",
}


async def ui_stream(buffer: TurnBuffer) -> AsyncIterator[bytes]:
    """Yield the turn as server-sent events, in the parts that `useChat` reads."""
    turn = buffer.turn
    number = 0

    def part(**fields: Any) -> bytes:
        nonlocal number
        number += 1
        return b"id: %s:%d\ndata: %s\n\n" % (turn_id, number, orjson.dumps(fields))

    turn_id = str(turn.turn_id).encode()
    metadata = {"session_id": turn.session_id, "turn_id": str(turn.turn_id)}
    yield part(type="start", messageId=turn.answer_id, messageMetadata=metadata)
    yield part(type="start-step") + part(type="text-start", id=TEXT_ID)
    try:
        async for delta in buffer.follow():
            yield part(type="text-delta", id=TEXT_ID, delta=delta) if delta else KEEPALIVE
    except TripthreadError as error:
        yield part(type="text-end", id=TEXT_ID) + part(type="error", errorText=error.detail) + b"data: [DONE]\n\n"
        return
    closing = [{"type": "text-end", "id": TEXT_ID}, *_closing_parts(buffer.ended)]
    yield b"".join(part(**fields) for fields in closing) + b"data: [DONE]\n\n"


def _closing_parts(turn: Turn | None) -> list[dict[str, Any]]:
    answer = turn.answer if turn else None
    if answer is None or answer.status in _UNFINISHED:
        text = (answer.error if answer else None) or _UNFINISHED["interrupted"]
        return [{"type": "error", "errorText": text}]
    if answer.status == "stopped":
        return [{"type": "abort", "reason": "stopped"}]
    return [{"type": "finish-step"}, {"type": "finish"}]


async def text_stream(buffer: TurnBuffer) -> AsyncIterator[bytes]:
    """Yield the answer's text and nothing else.

    Raises:
        BrokenPipeError: The answer did not come to its end, which plain text can only say by breaking off.
    """
    try:
        async for delta in buffer.follow():
            yield delta.encode()
    except TripthreadError as error:
        raise BrokenPipeError(error.detail) from error
    answer = buffer.ended.answer if buffer.ended else None
    if answer is None or answer.status in _UNFINISHED:
        raise BrokenPipeError("the answer was interrupted")
