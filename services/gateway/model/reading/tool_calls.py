"""The calls of tools in one answer: which piece belongs to which call, and what they come to. Pure.

Services number the pieces of several calls in their own ways: behind gateways Gemini's are all 0
(https://github.com/QuantumNous/new-api/pull/2701), or have no number
(https://github.com/THU-MAIC/OpenMAIC/issues/1556), and then only the id tells that another call begins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.gateway.model.chunks import CallPiece

UNNUMBERED = -1  # the index of a piece whose service gave it none


class Numbering:
    """Gives each piece the number of its call."""

    def __init__(self) -> None:
        self._count = 0
        self._ours: dict[int, int] = {}  # by the service's number
        self._ids: dict[int, str | None] = {}  # by ours

    def number(self, pieces: Iterable[CallPiece]) -> bool:
        """Number these pieces; tell whether they bear their numbers already."""
        is_right = True
        for piece in pieces:
            theirs = piece.index
            piece.index = self._number_of(piece)
            is_right = is_right and piece.index == theirs
        return is_right

    def _number_of(self, piece: CallPiece) -> int:
        ours = self._ours.get(piece.index)
        begins_another = bool(piece.name) and ours is not None and self._is_other(ours, piece)
        if ours is None or begins_another:
            ours = self._ours[piece.index] = self._count
            self._count += 1
            self._ids[ours] = piece.id
        return ours

    def _is_other(self, ours: int, piece: CallPiece) -> bool:
        """Tell whether a piece with a name begins another call than the one that has its number."""
        if piece.id and self._ids[ours]:
            return piece.id != self._ids[ours]
        return piece.index == UNNUMBERED


@dataclass
class ToolCall:
    """A call, as far as it came."""

    id: str
    name: str
    arguments: list[str] = field(default_factory=list)  # pieces of JSON

    @property
    def text(self) -> str:
        return "".join(self.arguments)


class ToolCalls:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCall] = {}

    def take(self, pieces: Sequence[CallPiece]) -> int:
        """Take the next pieces; return how many characters they have."""
        for piece in pieces:
            call = self._calls.setdefault(piece.index, ToolCall("", ""))
            call.id = call.id or piece.id or ""
            call.name = call.name or piece.name or ""  # some services repeat it with each piece
            call.arguments.append(piece.arguments)
        return sum(len(piece.name or "") + len(piece.arguments) for piece in pieces)

    def all(self) -> list[ToolCall]:
        """Return the calls in their order; pieces without any name are none."""
        return [call for _, call in sorted(self._calls.items()) if call.name]
