"""`POST /v1/responses`: the same turns, told as items; the model's service is asked by chat completions."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from services.gateway.http.answers.openai_errors import described
from services.gateway.model.chunks import CallPiece, Chunk, Usage
from services.gateway.turns.here.buffer import Reasoning, TurnBuffer
from services.gateway.turns.histories import Message
from services.gateway.turns.pieces import Whole
from services.gateway.turns.turn import Answer, Turn
from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.response_input import Item
from services.gateway.v1.reading.response_request import read_response_request
from services.gateway.v1.told import response_shape
from services.gateway.v1.told.response_events import ResponseEvents
from services.gateway.v1.told.response_told import ToldInPieces
from services.gateway.v1.told.telling import error_of, has_ended, news
from services.gateway.v1.told.wording import Begun
from shared.errors import TripthreadError

# A comment without the blank line by which some take it for an event: https://github.com/theopenco/llmgateway/pull/2334.
# OpenAI's own sign of life is an event that its SDKs have broken off at: https://github.com/openai/openai-node/issues/1964.
SILENCE = b": keep-alive\n"


class Responses:
    """The words of responses."""

    def read(
        self, body: bytes, headers: Mapping[str, str], max_extra_bytes: int, items: Mapping[str, Item] | None = None
    ) -> Asked:
        return read_response_request(body, headers, max_extra_bytes, items)

    def retold(self, asked: Asked, messages: Sequence[Message], size: int) -> ToldInPieces:
        return ToldInPieces(asked.relayed, messages, size, streams=asked.streams)

    async def stream(self, begun: Begun) -> AsyncIterator[bytes]:
        buffer, turn, retold = begun.buffer, begun.buffer.turn, begun.retold
        events = ResponseEvents(response_shape.begun(turn, begun.asked.told), turn.turn_id)
        yield events.begin()
        pieces = _relayed(buffer, retold, events) if isinstance(retold, ToldInPieces) else _kept(buffer, events)
        async for told in pieces:
            yield told
        yield events.end(_final(begun))

    def whole(self, begun: Begun, turn: Turn, answer: Answer) -> bytes:
        return orjson.dumps(response_shape.ended(turn, begun.asked.told, answer, _counted(begun)))


def _relayed(buffer: TurnBuffer, retold: ToldInPieces, events: ResponseEvents) -> AsyncIterator[bytes]:
    """Yield what comes of a turn that this request began."""
    return news(buffer, lambda: b"".join([events.tell(chunk) for chunk in retold.take_chunks()]), lambda: SILENCE)


async def _kept(buffer: TurnBuffer, events: ResponseEvents) -> AsyncIterator[bytes]:
    """Yield a turn as it is kept, for who did not begin it."""
    is_refusal = _refuses(buffer.ended)
    try:
        async for piece in buffer.follow_all():
            if isinstance(piece, Whole):  # calls are told at the end
                continue
            if not piece:
                yield SILENCE
            elif isinstance(piece, Reasoning):
                yield events.tell(Chunk(reasoning=str(piece)))
            else:
                yield events.tell(Chunk(text=str(piece), is_refusal=is_refusal))
    except TripthreadError:
        return  # which the end tells of
    answer = buffer.ended.answer if buffer.ended else None
    calls = response_shape.calls_of(answer.parts if answer else ())
    yield events.tell(Chunk(calls=[CallPiece(number, *call) for number, call in enumerate(calls)]))


def _refuses(turn: Turn | None) -> bool:
    return turn is not None and turn.answer is not None and turn.answer.metadata.get("refusal") is True


def _counted(begun: Begun) -> Usage | None:
    """Return what the service has counted, for the request that began the turn."""
    return begun.retold.usage if isinstance(begun.retold, ToldInPieces) else None


def _final(begun: Begun) -> dict[str, Any]:
    """Return the response as it ended."""
    buffer, told = begun.buffer, begun.asked.told
    turn = buffer.ended or buffer.turn
    answer = buffer.ended.answer if buffer.ended else None
    if answer is not None and has_ended(answer, begun.retold):
        return response_shape.ended(turn, told, answer, _counted(begun))
    failure = buffer.failure
    error = described(failure) if isinstance(failure, TripthreadError) else error_of(answer)[1]
    return response_shape.failed(turn, told, error, answer)
