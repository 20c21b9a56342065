"""How long a model's service is waited for: counted from piece to piece of the answer, not from byte to byte.

Comments, empty events and empty deltas are signs of life of a proxy, not of an answer, and may come for ever
(https://github.com/ThomasPritchard/NeuralNote/issues/249). Before the first piece they may come for minutes, while a
router looks for a machine and loads the model: there only the first piece's own limit counts.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from services.gateway.model.chunks import Chunk
from shared.settings import Settings

# Usage and `[DONE]` follow a finish reason at once; some services send neither, and keep the connection open.
AFTER_REASON_S = 15.0


@dataclass(frozen=True)
class Limits:
    """How long each of these may take, in seconds."""

    connect_s: float
    first_piece_s: float  # from the call to the first piece
    silence_s: float  # from one piece to the next
    turn_s: float  # from the first call to the end

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            connect_s=settings.model_connect_s,
            first_piece_s=settings.model_first_piece_s,
            silence_s=settings.model_silence_s,
            turn_s=settings.model_turn_s,
        )


class Patience:
    """The patience with one call; it begins when it is made.

    A timer for every piece would cost more than reading it, so there is one, which looks again when it fires early.

    Args:
        limits: How long it lasts.
        until: When the whole turn must be over, by the event loop's clock.
        comes_at_once: No piece comes before the whole answer is there.
    """

    def __init__(self, limits: Limits, until: float, *, comes_at_once: bool = False) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._until = until
        self._due = until if comes_at_once else self._loop.time() + limits.first_piece_s  # the next piece
        self._has_reason = False
        self._reasons_mean_nothing = False
        self._give_up: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def deadline(self) -> float:
        """When to give up, by the event loop's clock."""
        return min(self._due, self._until)

    def begin(self, give_up: Callable[[], None]) -> None:
        """Call `give_up` once the deadline, wherever it has moved to by then, has passed; not after `end`."""
        self._give_up = give_up
        self._set_timer()

    def end(self) -> None:
        self._give_up = None
        self._set_timer()

    def pieces_came(self, chunks: Sequence[Chunk]) -> None:
        """Begin to wait for the next piece, if there is one among these.

        After one that says why the answer ended there should be none; but some services say that with every piece
        (https://github.com/QuantumNous/new-api/issues/378).
        """
        pieces = [chunk for chunk in chunks if chunk.is_piece]
        for piece in pieces:
            self._reasons_mean_nothing = self._reasons_mean_nothing or self._has_reason
            self._has_reason = piece.finish_reason is not None
        if pieces:
            is_end = self._has_reason and not self._reasons_mean_nothing
            wait_s = min(AFTER_REASON_S, self._limits.silence_s) if is_end else self._limits.silence_s
            self._due = self._loop.time() + wait_s
            if self._timer is not None and self.deadline < self._timer.when():
                self._set_timer()

    def impatience(self) -> str:
        """Say why, to whoever has waited until the deadline."""
        if self._due < self._until:
            return "the model's service has gone silent"
        return f"the answer took longer than {self._limits.turn_s:g} seconds"

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self.deadline, self._look) if self._give_up else None

    def _look(self) -> None:
        if self._loop.time() < self.deadline:
            self._set_timer()
        elif self._give_up is not None:
            self._give_up()
