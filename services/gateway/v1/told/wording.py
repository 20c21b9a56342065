"""What tells the ways apart in which clients of OpenAI's ask: how a request is read, and how its turn is told."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.retold import Retold
from services.gateway.turns.histories import Message
from services.gateway.turns.turn import Answer, Turn
from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.response_input import Item


@dataclass(frozen=True)
class Begun:
    """A turn, and what this request is told of it."""

    asked: Asked
    buffer: TurnBuffer
    retold: Retold | None  # none: another request has begun it
    tag: str | None  # of its session, as far as that is known
    is_known: bool  # its session has begun here: what was not heard of it, there is not


class Wording(Protocol):
    """One way."""

    def read(
        self, body: bytes, headers: Mapping[str, str], max_extra_bytes: int, items: Mapping[str, Item] | None = None
    ) -> Asked:
        """Read a request, with the items that it names where those were looked up.

        Raises:
            ItemsNamed: It names some, and they were not.
            Refused: It can't be served.
        """

    def retold(self, asked: Asked, messages: Sequence[Message], size: int) -> Retold:
        """Prepare what the client is told while its turn runs.

        Args:
            asked: What it wants.
            messages: What the model is told.
            size: Bytes that these take, about.
        """

    def stream(self, begun: Begun) -> AsyncIterator[bytes]:
        """Yield the turn as it comes, and how it ended."""

    def whole(self, begun: Begun, turn: Turn, answer: Answer) -> bytes:
        """Spell the turn whose answer has come to an end."""
