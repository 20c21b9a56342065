"""Tell a client of OpenAI's of its turn: what is relayed, or, of a turn that others began, what was kept of it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from starlette.responses import Response

from services.gateway.http.answers.openai_errors import FAILED, REFUSED, described, error_object, error_response
from services.gateway.model.chunks import Usage
from services.gateway.model.ending import ERROR, STOP, TOOLS
from services.gateway.model.reading.readable import REASONS
from services.gateway.model.reading.retelling import chunk_bytes
from services.gateway.model.reading.usage import spelled
from services.gateway.turns.here.buffer import QUIET_S, Reasoning, TurnBuffer
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.pieces import Whole
from services.gateway.turns.turn import Answer, Turn
from shared.errors import ModelAway, TripthreadError

STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
DONE = b"data: [DONE]\n\n"
INTERRUPTED = "The answer was interrupted."
# What a service says of these is about the request, and its client's to mend.
ABOUT_THE_REQUEST = frozenset(("400", "404", "413", "422"))
# How services say that it is longer than their model takes: clients that shorten what they send know it by its code
# (https://github.com/anomalyco/opencode/issues/17746). llama.cpp has said so with a 500.
TOO_LONG = re.compile(
    r"context[ _](?:length|size|window)|maximum context|(?:prompt|input) is too long|exceed_context_size"
    r"|too many (?:input |prompt )?tokens",
    re.IGNORECASE,
)
CONTEXT_EXCEEDED = "context_length_exceeded"


async def relayed_stream(buffer: TurnBuffer, retold: Retold) -> AsyncIterator[bytes]:
    """Yield what the model's service sends, and then how it ended."""
    async for told in news(buffer, retold.take, lambda: _silence(head_of(buffer.turn))):
        yield told
    turn = buffer.ended
    if turn is None or turn.answer is None or not has_ended(turn.answer, retold):
        yield retold.take() + _error_event(buffer)
        return
    reason = retold.reason if retold.reason in REASONS else None
    yield retold.take_end() + _end(turn, None if reason else _reason_of(turn.answer), retold)


async def news(buffer: TurnBuffer, take: Callable[[], bytes], silence: Callable[[], bytes]) -> AsyncIterator[bytes]:
    """Yield what comes, as `take` spells it, or a sign of life where nothing does for a while, as `silence` does."""
    loop = asyncio.get_running_loop()
    told_at = loop.time()
    looking_up = loop.call_later(QUIET_S / 3, buffer.announce)
    try:
        while True:
            told = take()
            if told:
                told_at = loop.time()
                yield told
            elif buffer.is_settled:
                return
            elif loop.time() - told_at >= QUIET_S:
                told_at = loop.time()
                yield silence()
            else:
                if looking_up.when() <= loop.time():
                    looking_up = loop.call_later(QUIET_S / 3, buffer.announce)
                await buffer.hear()
    finally:
        looking_up.cancel()


def _end(turn: Turn, reason: str | None, retold: Retold) -> bytes:
    """Spell what the service has not said: that it ended, and the tokens, where they are wanted."""
    head, told = head_of(turn), []
    if reason is not None:
        told.append(chunk_bytes(head, {}, reason))
    if retold.request.wants_usage and not retold.has_usage:
        told.append(chunk_bytes(head, {}, usage=_usage(turn.answer)))
    return b"".join([b"data: %s\n\n" % each for each in told]) + DONE


async def kept_stream(buffer: TurnBuffer, *, wants_usage: bool) -> AsyncIterator[bytes]:
    """Yield a turn as it is kept, for who did not begin it."""
    head = head_of(buffer.turn)
    yield _event(chunk_bytes(head, {"role": "assistant", "content": ""}))
    try:
        async for piece in buffer.follow_all():
            if isinstance(piece, Whole):  # calls are told at the end
                continue
            name = "reasoning_content" if isinstance(piece, Reasoning) else "content"
            yield _event(chunk_bytes(head, {name: str(piece)})) if piece else _silence(head)
    except TripthreadError:
        yield _error_event(buffer)
        return
    turn = buffer.ended
    if turn is None or turn.answer is None or not has_ended(turn.answer):
        yield _error_event(buffer)
        return
    calls = [{"index": number, **call} for number, call in enumerate(_calls(turn.answer))]
    told = [chunk_bytes(head, {"tool_calls": calls})] if calls else []
    told.append(chunk_bytes(head, {}, _reason_of(turn.answer)))
    if wants_usage:
        told.append(chunk_bytes(head, {}, usage=_usage(turn.answer)))
    yield b"".join(map(_event, told)) + DONE


def completion_of(turn: Turn, answer: Answer) -> bytes:
    """Spell a turn as a `chat.completion`."""
    reasoning = "".join(part["text"] for part in answer.parts if part["type"] == "reasoning")
    calls = _calls(answer)
    text = answer.content or (None if calls else "")
    is_refusal = answer.metadata.get("refusal") is True
    message: dict[str, Any] = {"role": "assistant", "content": None if is_refusal else text}
    message["refusal"] = answer.content if is_refusal else None
    message |= {"reasoning_content": reasoning} if reasoning else {}
    message |= {"tool_calls": calls} if calls else {}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason_of(answer)}
    told = {**head_of(turn), "object": "chat.completion", "choices": [choice], "usage": spelled(_usage(answer))}
    return orjson.dumps(told)


def has_ended(answer: Answer, retold: Retold | None = None) -> bool:
    """Tell whether the answer came to an end that OpenAI has a word for; there it may be without any text."""
    if answer.status in ("complete", "stopped"):
        return True
    reason = retold.reason if retold is not None else answer.finish_reason
    return answer.status == "failed" and reason in REASONS


def error_of(answer: Answer | None) -> tuple[int, dict[str, Any]]:
    """Return the status and the error of a turn without an answer."""
    text = (answer.error if answer else None) or INTERRUPTED
    status = ((answer.trace or {}).get("error_class") if answer else None) or ""
    if status in (*ABOUT_THE_REQUEST, "500") and TOO_LONG.search(text):
        return 400, error_object(text, REFUSED, CONTEXT_EXCEEDED)
    if status in ABOUT_THE_REQUEST:
        return 400, error_object(text, REFUSED, "refused_by_model")
    return 503, error_object(text, FAILED, "model_away")


def failure_response(answer: Answer | None) -> Response:
    """Answer for a turn without an answer."""
    status, error = error_of(answer)
    return error_response(status, error, {"Retry-After": str(ModelAway.retry_after_s)} if status == 503 else None)


def head_of(turn: Turn) -> Mapping[str, Any]:
    """Return what every chunk of this turn has."""
    return {"id": f"chatcmpl-{turn.answer_id}", "created": int(turn.asked_at.timestamp()), "model": turn.model}


def _error_event(buffer: TurnBuffer) -> bytes:
    """Spell what cut the answer short, as OpenAI does in the middle of a stream: SDKs raise it."""
    failure = buffer.failure
    if isinstance(failure, TripthreadError):
        error = described(failure)
    else:
        error = error_of(buffer.ended.answer if buffer.ended else None)[1]
    return _event(orjson.dumps({"error": error}))


def _silence(head: Mapping[str, Any]) -> bytes:
    """Spell a sign of life that is a chunk: of a comment some take the blank line behind it for an event.

    So do the SDKs for Go (https://github.com/mckinsey/agents-at-scale-ark/pull/2567), and others break at the comment.
    """
    return _event(chunk_bytes(head, {"content": ""}))


def _event(data: bytes) -> bytes:
    return b"data: %s\n\n" % data


def _reason_of(answer: Answer) -> str:
    reason = answer.finish_reason or STOP
    return STOP if reason == ERROR or (reason == TOOLS and not _calls(answer)) else reason


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"id": part["toolCallId"], "type": "function", "function": _function(part)}
        for part in answer.parts
        if part["type"].startswith("tool-") and "toolCallId" in part
    ]


def _function(part: Mapping[str, Any]) -> dict[str, str]:
    arguments = part["input"]
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return {"name": part["type"].removeprefix("tool-"), "arguments": text}


def _usage(answer: Answer | None) -> Usage:
    trace = (answer.trace if answer else None) or {}
    return Usage(trace.get("input_tokens"), trace.get("output_tokens"))
