"""`POST /v1/chat/completions`: the bytes of the model's service, as far as they are right."""

from collections.abc import AsyncIterator, Mapping, Sequence

from services.gateway.turns.here.retold import Retold
from services.gateway.turns.histories import Message
from services.gateway.turns.turn import Answer, Turn
from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.completion_request import read_completion_request
from services.gateway.v1.reading.response_input import Item
from services.gateway.v1.told.telling import completion_of, kept_stream, relayed_stream
from services.gateway.v1.told.wording import Begun


class Completions:
    """The words of chat completions."""

    def read(
        self, body: bytes, headers: Mapping[str, str], max_extra_bytes: int, items: Mapping[str, Item] | None = None
    ) -> Asked:
        return read_completion_request(body, headers, max_extra_bytes)

    def retold(self, asked: Asked, messages: Sequence[Message], size: int) -> Retold:
        return Retold(asked.relayed, messages, size)

    def stream(self, begun: Begun) -> AsyncIterator[bytes]:
        if begun.retold is None:
            return kept_stream(begun.buffer, wants_usage=begun.asked.relayed.wants_usage)
        return relayed_stream(begun.buffer, begun.retold)

    def whole(self, begun: Begun, turn: Turn, answer: Answer) -> bytes:
        whole = begun.retold.whole if begun.retold else None
        return whole if whole is not None and answer.status != "stopped" else completion_of(turn, answer)
