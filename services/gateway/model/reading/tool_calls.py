"""The calls of tools in one answer: which piece belongs to which call, and what they come to. Pure.

Services number the pieces of several calls in their own ways: behind gateways Gemini's are all 0
(https://github.com/QuantumNous/new-api/pull/2701), or have no number
(https://github.com/THU-MAIC/OpenMAIC/issues/1556), and then only the id tells that another call begins.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.gateway.model.chunks import CallPiece
from shared.ids import new_id

UNNUMBERED = -1  # the index of a piece whose service gave it none
NO_NAMES = ("null", "none", "None")  # of pieces behind the first: https://github.com/BerriAI/litellm/issues/12513
NO_ARGUMENTS = "{}"


class Numbering:
    """Gives each piece the number of its call, and takes out of it what clients would have twice.

    The SDKs join what comes in pieces, names and ids too: `get_weatherget_weather`
    (https://github.com/NousResearch/hermes-agent/issues/8259); and they refuse a call that has no id. Of two that have
    the same nobody could tell whose a result is.
    """

    def __init__(self) -> None:
        self._count = 0
        self._ours: dict[int, int] = {}  # by the service's number
        self._ids: dict[int, str | None] = {}  # of the service's, by ours
        self._begun: dict[int, _Begun] = {}  # by ours

    def number(self, pieces: Iterable[CallPiece]) -> bool:
        """Number these pieces; tell whether they can be passed on as they came."""
        is_right = True
        for piece in pieces:
            said = piece.index, piece.id, piece.name
            piece.index = self._number_of(piece)
            self._name(piece)
            is_right = is_right and not piece.is_odd and (piece.index, piece.id, piece.name) == said
        return is_right

    def complete(self, pieces: Iterable[CallPiece] = ()) -> Sequence[CallPiece]:
        """Give calls that came without arguments those of a tool that takes none, since nothing is no JSON.

        Args:
            pieces: That came last: of these each gets what its call lacks.

        Returns:
            Further pieces, of the other calls.
        """
        lacking = {number: begun for number, begun in self._begun.items() if begun.name and not begun.has_arguments}
        for piece in pieces:
            if lacking.pop(piece.index, None) is not None:
                piece.arguments, piece.is_odd = NO_ARGUMENTS, True
        for begun in self._begun.values():
            begun.has_arguments = True
        return [CallPiece(number, arguments=NO_ARGUMENTS) for number in lacking]

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

    def _name(self, piece: CallPiece) -> None:
        """Let a piece have the name and the id of its call where they come first, and nowhere else."""
        begun = self._begun.setdefault(piece.index, _Begun())
        begun.has_arguments = begun.has_arguments or piece.is_custom or bool(piece.arguments.strip())
        if begun.name:
            piece.name = None if piece.name in (begun.name, *NO_NAMES) else piece.name
            piece.id = None
            return
        if piece.id and (begun.id or self._is_taken(piece.id)):
            piece.id = None
        if piece.name and not (begun.id or piece.id):
            piece.id = f"call_{new_id().hex}"
        begun.id, begun.name = begun.id or piece.id, piece.name

    def _is_taken(self, call_id: str) -> bool:
        return any(call_id == begun.id for begun in self._begun.values())


@dataclass
class _Begun:
    """What has come of a call."""

    id: str | None = None
    name: str | None = None
    has_arguments: bool = False


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
