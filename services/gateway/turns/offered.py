"""What a turn may do beside talking: the tools of whoever answers, for whoever asks.

Which tools there are, and what they do, stands in `services/gateway/tools`; a turn knows only this of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from services.gateway.turns.turn import Turn
from shared.errors import TripthreadError


class UnusableCall(TripthreadError):
    """The model's call is none that can be run; the detail is for the model."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)


class Usable(Protocol):
    """A call that can be run."""

    @property
    def asks(self) -> bool:
        """Whether the user is asked first."""
        ...

    async def run(self, turn: Turn, effect: UUID) -> Any:
        """Do it, and return what there is to say of it, as a JSON value.

        Args:
            turn: In which it was called.
            effect: What it does bears this id: a call that is run again does nothing a second time.
        """
        ...


class Tools(Protocol):
    """The tools of one turn."""

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        """How the model is told of them, as OpenAI has it."""
        ...

    @property
    def trip(self) -> str | None:
        """The open trip of the session, in words; none: there is none, or nobody has looked."""
        ...

    @property
    def earlier(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """The parts of those earlier answers of the session in which tools were called, by message id."""
        ...

    def usable(self, name: str, arguments: Any) -> Usable:
        """Look at a call.

        Raises:
            UnusableCall: There is no such tool, or the arguments are none of its.
        """
        ...
