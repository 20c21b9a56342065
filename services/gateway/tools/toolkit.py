"""All tools that there are, and those of one turn: what its helper has, for whoever asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from services.gateway.account.identity import Caller
from services.gateway.tools.proposal_tools import proposal_tools
from services.gateway.tools.tool import Acting, Arguments, Tool
from services.gateway.tools.trip_tools import described, session_trip, trip_tools
from services.gateway.trips.proposals.proposing import Proposing
from services.gateway.trips.routes import Trips
from services.gateway.turns.here.instructed import Instructed
from services.gateway.turns.offered import UnusableCall
from services.gateway.turns.turn import Turn

SIGN_IN = "Visitors order no trips here: the user must sign in first."
NAMES_TRIP = "{trip}"

AnyTool = Tool[Any]


class Toolkit:
    """All tools."""

    def __init__(self, trips: Trips, proposing: Proposing) -> None:
        self._trips = trips
        made = (*trip_tools(trips), *proposal_tools(trips, proposing))
        self.tools: Mapping[str, AnyTool] = {tool.name: tool for tool in made}

    async def of_turn(
        self, caller: Caller, account: str, told: Instructed, session_id: str | None, *, can_ask: bool = True
    ) -> "TurnTools | None":
        """Return what a turn may do whose helper has these instructions; None where that is nothing.

        Where nobody `can_ask` its user, as in an answer that is plain text, no tools that would.
        """
        knows_trip = NAMES_TRIP in told.instructions
        if not told.tools and not knows_trip:
            return None
        trip = await session_trip(self._trips, caller, session_id) if knows_trip and session_id else None
        named = [self.tools[name] for name in told.tools]
        tools = {tool.name: tool for tool in named if can_ask or not tool.asks}
        visitor_trips = self._trips.settings.visitor_trips
        return TurnTools(caller, account, tools, described(trip) if trip else None, visitor_trips=visitor_trips)


@dataclass(frozen=True)
class TurnTools:
    """The tools of one turn."""

    caller: Caller
    account: str
    tools: Mapping[str, AnyTool]
    trip: str | None  # the session's open one, in words
    visitor_trips: bool
    earlier: Mapping[str, Sequence[dict[str, Any]]] = field(default_factory=dict)  # see `Tools`

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        return [tool.definition for tool in self.tools.values()]

    def usable(self, name: str, arguments: Any) -> "UsableTool":
        """Look at a call.

        Raises:
            UnusableCall: There is no such tool here, the arguments are none of its, or it is not for visitors.
        """
        tool = self.tools.get(name)
        if tool is None:
            raise UnusableCall(f"there is no such tool; there are: {', '.join(self.tools) or 'none'}")
        given = tool.read(arguments)
        if not tool.for_visitors and self.caller.is_visitor and not self.visitor_trips:
            raise UnusableCall(SIGN_IN)
        return UsableTool(self, tool, given)


@dataclass(frozen=True)
class UsableTool:
    """A call of one of them."""

    of: TurnTools
    tool: AnyTool
    given: Arguments

    @property
    def asks(self) -> bool:
        return self.tool.asks

    async def run(self, turn: Turn, effect: UUID) -> Any:
        return await self.tool.run(Acting(self.of.caller, self.of.account, turn, effect), self.given)
