"""What the client of OpenAI's that began a turn is told of it, event by event, until it leaves.

Others who follow the turn, and those who ask for it again, are told by what was kept of it.
"""

from collections.abc import Sequence
from typing import Any

from services.gateway.http.held.shares import Holding
from services.gateway.model.chunks import BETWEEN, Chunk
from services.gateway.model.ending import reason_of
from services.gateway.model.relayed import Relayed

MOST_EARLY = 16  # events before the first piece: of more, those that say nothing, the newest is told behind the first


class Retold:
    """The events that were not sent yet.

    What says that the answer ended waits until the turn is kept, as every closing part does; where more of it comes all
    the same, as from services that say so with each piece, it goes with that.

    Args:
        request: What is passed on.
        messages: What was said, as the client sent it.
        size: Bytes that these take, about.
    """

    def __init__(self, request: Relayed, messages: Sequence[dict[str, Any]], size: int) -> None:
        self.request = request
        self.messages = messages
        self.size = size
        self.reason: str | None = None  # why the answer ended, in our words
        self.has_usage = False  # the client was told of it, or will be
        self.whole: bytes | None = None  # all of the answer, as its service sent it
        self._holding: Holding | None = None
        self._early: list[bytes] = []  # what came before the first piece: another service may still be asked
        self._waiting: list[bytes] = []
        self._held: list[bytes] = []
        self._tries = 0
        self._has_begun = False
        self._is_read = True

    def hold_in(self, holding: Holding) -> None:
        """Count what waits."""
        self._holding = holding

    def tell(self, chunk: Chunk, tries: int) -> None:
        """Take what comes next at this try; of one that failed before its first piece nothing is told."""
        if tries != self._tries:
            self._tries, self._early = tries, []
        if chunk.finish_reason is not None:
            self.reason = reason_of(chunk.finish_reason)
        if not chunk.told or not self._is_read:
            return
        if chunk.is_whole and not self.request.streams:
            self.whole = chunk.told
        elif chunk.finish_reason is not None or (self._held and not chunk.is_piece):
            self._held.append(chunk.told)
            self.has_usage = self.has_usage or chunk.usage is not None
        elif chunk.is_piece:
            self._has_begun = True
            self._wait(*self._opening(), *self._held, chunk.told)
            self._held = []
        elif self._has_begun:
            self._wait(chunk.told)
        else:
            self._early = [*self._early[: MOST_EARLY - 1], chunk.told]

    def take(self) -> bytes:
        """Take what waits, as events of a stream; nothing where nothing does."""
        told, self._waiting = self._waiting, []
        return self._spelled(told)

    def take_end(self) -> bytes:
        """Take what says that the answer ended, too."""
        told = [*self._waiting, *self._opening(), *self._held]
        self._waiting, self._held = [], []
        return self._spelled(told)

    def leave(self) -> None:
        """Keep nothing for a client that has gone."""
        self._is_read = False
        self._spelled(self._waiting)
        self._waiting, self._held, self._early, self.whole = [], [], [], None

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def _opening(self) -> Sequence[bytes]:
        early, self._early = self._early, []
        return early

    def _wait(self, *told: bytes) -> None:
        self._waiting += told
        self._count(sum(map(len, told)))

    def _spelled(self, told: Sequence[bytes]) -> bytes:
        if not told:
            return b""
        self._count(-sum(map(len, told)))
        return b"data: %s\n\n" % BETWEEN.join(told)

    def _count(self, size: int) -> None:
        if self._holding is not None:
            self._holding.add(size)
