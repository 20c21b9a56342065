"""Tools about a trip: have one made at Avinode, and see how far it is."""

from typing import Any

from pydantic import Field

from services.gateway.account.identity import Caller
from services.gateway.http.requests.fields import WholeNumber
from services.gateway.http.write_headers import Write
from services.gateway.tools.tool import Acting, Arguments, Tool
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.ordering.order import NewTrip, OrderedFlight, TripName
from services.gateway.trips.records.record import Segment, Trip
from services.gateway.trips.routes import Trips, place_trip, trip_named
from shared.errors import NoSuchTrip
from shared.texts.flat_text import flat

LONGEST_LINE = 500  # characters that instructions have of a trip
LONGEST_WAIT_S = 10.0  # for Avinode
AT_WORK = "The trip is ordered and not made at Avinode yet. trip_status says later what became of it."
UNCONFIRMED = "Nobody can tell yet whether Avinode has made it. Do not order it again; trip_status says what is known."


class CreateTrip(Arguments):
    segments: list[OrderedFlight] = Field(
        min_length=1, max_length=20, description="The flights, in order: airports by ICAO code, local date and time"
    )
    pax: WholeNumber = Field(ge=1, le=999, description="How many passengers")


class OfTrip(Arguments):
    trip: TripName | None = Field(
        None, description="The trip's id or its code; null: the trip of this conversation, which is usual"
    )


def trip_tools(trips: Trips) -> tuple[Tool[CreateTrip], Tool[OfTrip]]:
    """Make them."""

    async def create(acting: Acting, given: CreateTrip) -> Any:
        wait_s = min(LONGEST_WAIT_S, 0.8 * trips.settings.tool_call_s)
        write = Write(wait_s, f"tool/{acting.effect}", acting.turn.correlation_id)
        order = NewTrip(segments=given.segments, pax=given.pax)
        trip, status = await place_trip(
            trips, acting.caller, acting.account, acting.turn.session_id, order=order, write=write
        )
        return {**shown(trip), **_still_at_work(trip, is_stored=status != 202)}

    async def look(acting: Acting, given: OfTrip) -> Any:
        trip = await found(trips, acting, given.trip)
        return {**shown(trip), **_still_at_work(trip, is_stored=True)}

    return (
        Tool(
            "create_trip",
            "Make a charter trip at Avinode, where the broker then asks operators for quotes. The user is asked for "
            "consent first. Call it only when route, dates and the number of passengers are known and were confirmed.",
            CreateTrip,
            create,
            asks=True,
            for_visitors=False,
        ),
        Tool(
            "trip_status",
            "See how far a trip is: its step, how many operators were asked and have quoted, proposals and problems.",
            OfTrip,
            look,
        ),
    )


async def found(trips: Trips, acting: Acting, name: Any) -> Trip:
    """Return the trip that is named, or that the conversation is about.

    Raises:
        NoSuchTrip: There is none that this user sees.
    """
    if name is not None:
        return await trip_named(trips, acting.caller, name)
    trip = await session_trip(trips, acting.caller, acting.turn.session_id, is_open=False)
    if trip is None:
        raise NoSuchTrip("This conversation has no trip yet.")
    return trip


async def session_trip(trips: Trips, caller: Caller, session_id: str, *, is_open: bool = True) -> Trip | None:
    """Return the trip that a conversation is about: the open one, else, unless it must be open, the newest."""
    wanted = TripFilter(session_id=session_id, open_only=True, projects=caller.projects)
    trip = await trips.queries.find(caller.user_ids, wanted)
    if trip is None and not is_open:
        trip = await trips.queries.find(caller.user_ids, TripFilter(session_id=session_id, projects=caller.projects))
    return trip


def described(trip: Trip) -> str:
    """Say in a line which trip it is."""
    route = ", ".join(map(_flight, trip.segments))
    told = f"{trip.trip_code or trip.id} ({route}; {trip.pax} passengers; step: {trip.current_step})"
    return flat(told, LONGEST_LINE)


def _flight(leg: Segment) -> str:
    return f"{leg.from_icao} to {leg.to_icao} on {leg.date}"


def shown(trip: Trip) -> dict[str, Any]:
    """Show a trip in short."""
    return {
        "trip_id": str(trip.id),
        "trip_code": trip.trip_code,
        "deep_link": trip.deep_link,  # where the broker sends RFQs
        "status": trip.status,
        "outcome": trip.outcome,
        "step": trip.current_step,
        "segments": [leg.model_dump(by_alias=True) for leg in trip.segments],
        "pax": trip.pax,
        "operators_asked": trip.operators_contacted_count,
        "quotes_expected": trip.quotes_expected_count,
        "quotes_received": trip.quotes_received_count,
        "proposals": [{"proposal_id": str(each.id), "state": each.state} for each in trip.proposals],
        "problem": trip.problem,
    }


def _still_at_work(trip: Trip, *, is_stored: bool) -> dict[str, str]:
    if trip.unconfirmed:
        return {"note": UNCONFIRMED}
    is_made = trip.avinode_trip_id is not None or trip.outcome is not None
    return {} if is_stored and is_made else {"note": AT_WORK}
