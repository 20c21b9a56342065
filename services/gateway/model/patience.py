"""How long a model's service is waited for: counted from piece to piece of the answer, not from byte to byte.

Comments, empty events and empty deltas are signs of life of a proxy, not of an answer, and may come for ever
(https://github.com/ThomasPritchard/NeuralNote/issues/249). Before the first piece they may come for minutes, while a
router looks for a machine and loads the model: there only the first piece's own limit counts.
"""

import asyncio
from dataclasses import dataclass
from typing import Self

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

    Args:
        limits: How long it lasts.
        until: When the whole turn must be over, by the event loop's clock.
    """

    def __init__(self, limits: Limits, until: float) -> None:
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._until = until
        self._deadline = self._now() + limits.first_piece_s
        self._has_reason = False
        self._reasons_mean_nothing = False

    def piece_came(self, *, with_reason: bool) -> None:
        """Begin to wait for the next piece.

        Args:
            with_reason: It says why the answer ended, so there should be none; but some services say that with every
                piece (https://github.com/QuantumNous/new-api/issues/378).
        """
        self._reasons_mean_nothing = self._reasons_mean_nothing or self._has_reason
        self._has_reason = with_reason
        is_end = with_reason and not self._reasons_mean_nothing
        wait_s = min(AFTER_REASON_S, self._limits.silence_s) if is_end else self._limits.silence_s
        self._deadline = self._now() + wait_s

    @property
    def deadline(self) -> float:
        """When to give up, by the event loop's clock."""
        return min(self._deadline, self._until)

    def impatience(self) -> str:
        """Say why, to whoever has waited until then."""
        if self._deadline < self._until:
            return "the model's service has gone silent"
        return f"the answer took longer than {self._limits.turn_s:g} seconds"
