"""Change a trip, read it anew, and end it: publish what its user wants, and wait until it is so."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.account.identity import Caller, KnownCallerDep, account_of
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.requests.fields import Json, Name, check_json
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.own_session import OwnSession
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.ordering.order import TripName
from services.gateway.trips.records.record import Trip, TripAnswer
from services.gateway.trips.routes import Trips, TripsDep, trip_named
from services.gateway.writes.broker_gate import require_broker
from services.gateway.writes.receipts import Look
from shared.errors import Invalid, NotCancelled
from shared.errors import TripClosed as Closed
from shared.events import CancelReason, SessionEvent, TripChanged, TripClosed, TripRefreshRequested

router = APIRouter(tags=["trips"], route_class=StrictRoute)

TripPath = Annotated[TripName, Path(description="Our id, Avinode's, or the code that people see")]
WRITTEN: dict[int | str, dict[str, Any]] = {
    202: {"model": TripAnswer, "description": "Accepted, and not done yet"},
    **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
}


class TripPatch(BaseModel):
    """What a user may set; what is not there stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    primary_quote_id: Name | None = None  # null: the first seller's
    avinode_rfp_id: Name | None = None
    workflow_state: Json = Field(default_factory=dict)
    metadata: Json = Field(default_factory=dict)
    status: Literal["active", "paused"] = "active"  # paused: until something happens in the chat or at Avinode

    def fields(self, most_bytes: int) -> dict[str, Any]:
        """Return what is set, by name.

        Raises:
            Invalid: That is nothing.
            TooLarge: What is kept as it is takes more than `most_bytes`.
        """
        if not self.model_fields_set:
            raise Invalid("Name at least one field to set.")
        for kept in (self.workflow_state, self.metadata):
            check_json(most_bytes, kept, f"workflow_state and metadata may each have at most {most_bytes} bytes.")
        return {name: getattr(self, name) for name in self.model_fields_set}


class Cancel(BaseModel):
    """Why, in Avinode's words, and what its operators are told."""

    model_config = ConfigDict(extra="forbid")

    reason: CancelReason
    message: Annotated[str, Field(max_length=5000, pattern=r"^[^\x00]*$")] | None = None


@router.patch("/api/trips/{trip_id}", responses=WRITTEN)
async def change_trip(
    *, trips: TripsDep, caller: KnownCallerDep, trip_id: TripPath, body: TripPatch, write: WriteDep, response: Response
) -> TripAnswer:
    """Set fields of a trip; of two changes of one field the one that was accepted last stands."""
    patch = body.fields(trips.settings.max_extra_bytes)
    trip, own = await _theirs(trips, caller, trip_id)
    chosen = patch.get("primary_quote_id")
    if chosen is not None and chosen not in {quote.id for quote in trip.quotes if not quote.estimate}:
        raise refused_field("primary_quote_id", "must be an operator's own quote of this trip")
    event = TripChanged(**_said(trip, own, write), changed=tuple(patch), **patch)

    async def look() -> Trip | None:
        is_set = await trips.queries.has_settled((event.user_id,), event)
        return await _again(trips, caller, event) if is_set else None

    expected = {name: value for name, value in patch.items() if name not in {"primary_quote_id", "status"}}
    return _answer(await _accept(trips, event, look, write), trip.model_copy(update=expected), response)


@router.post("/api/trips/{trip_id}/refresh", responses=WRITTEN)
async def refresh_trip(
    *,
    trips: TripsDep,
    caller: KnownCallerDep,
    trip_id: TripPath,
    write: WriteDep,
    request: Request,
    response: Response,
) -> TripAnswer:
    """Read a trip at Avinode now; it counts as an order of one."""
    await trips.limits.count_order(account_of(caller, request))
    trip, own = await _theirs(trips, caller, trip_id)
    if trip.outcome is not None:
        raise Closed
    event = TripRefreshRequested(**_said(trip, own, write))

    async def look() -> Trip | None:
        found = await _again(trips, caller, event)
        if found is None or found.last_checked_at is None:
            return None
        return found if found.last_checked_at >= event.accepted or found.outcome is not None else None

    return _answer(await _accept(trips, event, look, write), trip, response)


@router.post("/api/trips/{trip_id}/complete", responses=WRITTEN)
async def complete_trip(
    *, trips: TripsDep, caller: KnownCallerDep, trip_id: TripPath, write: WriteDep, response: Response
) -> TripAnswer:
    """Close a trip as completed; its session may begin another."""
    return _told(await close_trip(trips, caller, trip_id, write, outcome="completed"), response)


@router.post("/api/trips/{trip_id}/cancel", responses=WRITTEN)
async def cancel_trip(
    *, trips: TripsDep, caller: KnownCallerDep, trip_id: TripPath, body: Cancel, write: WriteDep, response: Response
) -> TripAnswer:
    """Cancel a trip at Avinode, with all its requests to operators; its session may begin another."""
    about = {"reason": body.reason, "message": body.message}
    return _told(await close_trip(trips, caller, trip_id, write, outcome="cancelled", **about), response)


async def close_trip(trips: Trips, caller: Caller, trip_id: Any, write: Write, **how: Any) -> tuple[Trip, bool]:
    """End a trip for its user, as these two routes do, and whoever acts for them: `outcome`, and why.

    Returns:
        The trip, and whether it has ended by now; else it is about to.

    Raises:
        TripClosed: It has ended otherwise.
        NotCancelled: Avinode does not cancel it.
    """
    trip, own = await _theirs(trips, caller, trip_id)
    if trip.outcome == how["outcome"]:
        return trip, True
    if trip.outcome is not None:
        raise Closed
    event = TripClosed(**_said(trip, own, write), **how)

    async def look() -> Trip | None:
        found = await _again(trips, caller, event)
        if found is None:
            return None
        refusal = found.cancellation
        if refusal is not None and refusal.event_id == event.event_id and refusal.state == "refused":
            raise NotCancelled(refusal.error)
        return found if found.outcome is not None else None

    done = await _accept(trips, event, look, write)
    return done or trip, done is not None


async def _theirs(trips: Trips, caller: Caller, trip_id: Any) -> tuple[Trip, OwnSession]:
    """Find a trip with the session by which the caller sees it.

    Raises:
        BrokerAway: Nothing can be accepted.
        NoSuchTrip: There is none for this caller.
        NotFound: The session was deleted meanwhile.
    """
    require_broker(trips.publisher)
    trip = await trip_named(trips, caller, trip_id)
    return trip, await trips.own.find(caller, trip.conversation_id)


def _said(trip: Trip, own: OwnSession, write: Write) -> dict[str, Any]:
    return {
        "correlation_id": write.correlation_id,
        "user_id": own.user_id,
        "session_id": own.facts.session_id,
        "accepted_at": own.facts.read_at,
        "trip_id": trip.id,
    }


async def _again(trips: Trips, caller: Caller, event: TripChanged | TripClosed | TripRefreshRequested) -> Trip | None:
    wanted = TripFilter(trip_id=event.trip_id, session_id=event.session_id, projects=caller.projects)
    spoken = await trips.turns.last_spoken(caller.user_ids)
    return await trips.queries.find((event.user_id,), wanted, spoken)


async def _accept(trips: Trips, event: SessionEvent, look: Look[Trip], write: Write) -> Trip | None:
    session = event.user_id, str(event.session_id)
    return await trips.accepting.accept([event], look, write.wait_s, session=session)


def _answer(done: Trip | None, expected: Trip, response: Response) -> TripAnswer:
    return _told((done or expected, done is not None), response)


def _told(became: tuple[Trip, bool], response: Response) -> TripAnswer:
    trip, is_done = became
    response.status_code = 200 if is_done else 202
    return TripAnswer(trip=trip, stored=is_done)
