"""What has come of a turn's answer that the client which asked for it as a response was not told yet."""

from collections.abc import Sequence
from typing import Any

from services.gateway.model.chunks import Chunk, Usage
from services.gateway.model.ending import reason_of
from services.gateway.model.reading.usage import newest
from services.gateway.model.relayed import Relayed
from services.gateway.turns.here.retold import Retold


class ToldInPieces(Retold):
    """Keeps what was read of the service's events, and not the events: they are spelled anew, as items."""

    def __init__(self, request: Relayed, messages: Sequence[dict[str, Any]], size: int, *, streams: bool) -> None:
        """Prepare to keep pieces for a client that wants the answer as it comes; for others none are."""
        super().__init__(request, messages, size)
        self._chunks: list[Chunk] = []
        self._is_read = streams
        self.usage: Usage | None = None  # as the service counts it

    def tell(self, chunk: Chunk, tries: int) -> None:
        """Take what comes next."""
        if chunk.finish_reason is not None:
            self.reason = reason_of(chunk.finish_reason)
        if chunk.usage is not None:
            self.usage = newest(self.usage, chunk.usage)
        if self._is_read and (chunk.text or chunk.reasoning or chunk.calls):
            self._chunks.append(chunk)
            self._count(_size(chunk))

    def take_chunks(self) -> Sequence[Chunk]:
        """Take what waits."""
        chunks, self._chunks = self._chunks, []
        self._count(-sum(map(_size, chunks)))
        return chunks

    def leave(self) -> None:
        """Keep nothing for a client that has gone."""
        super().leave()
        self.take_chunks()

    @property
    def is_waiting(self) -> bool:
        return bool(self._chunks)


def _size(chunk: Chunk) -> int:
    return len(chunk.text) + len(chunk.reasoning) + sum(len(piece.arguments) for piece in chunk.calls)
