"""Trips: ask for one, attach one, see them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from services.gateway.account.identity import Caller, KnownCallerDep, account_of
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.ordering.order import AttachTrip, NewTrip, TripName, TripOrder, begun_by
from services.gateway.trips.ordering.order_limits import OrderLimits
from services.gateway.trips.ordering.placing import Placing
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.records.expected import expected_trip
from services.gateway.trips.records.placed import lost_trip
from services.gateway.trips.records.record import Trip, TripAnswer
from services.gateway.turns.stored.readings import Spoken, TurnReadings
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import Forbidden, NoSuchTrip
from shared.events import TripAttached
from shared.publishing.publisher import Publisher
from shared.settings import Settings

router = APIRouter(tags=["trips"], route_class=StrictRoute)


@dataclass(frozen=True)
class Trips:
    """What these routes work with."""

    settings: Settings
    own: OwnSessions
    turns: TurnReadings
    limits: OrderLimits
    queries: TripQueries
    admin_queries: TripQueries  # which see the trips of others, too
    publisher: Publisher
    accepting: Accepting


TripsDep = Annotated[Trips, from_app(Trips)]


async def _orderer(trips: TripsDep, caller: KnownCallerDep) -> Caller:
    if caller.is_visitor and not trips.settings.visitor_trips:
        raise Forbidden("Visitors order no trips here: sign in.")
    return caller


OrdererDep = Annotated[Caller, Depends(_orderer)]


@router.post(
    "/api/chat/sessions/{session_id}/trips",
    status_code=201,
    responses={
        200: {"model": TripAnswer, "description": "It is this session's trip already"},
        202: {"model": TripAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def begin_trip(
    *,
    trips: TripsDep,
    caller: OrdererDep,
    session_id: SessionId,
    body: TripOrder,
    write: WriteDep,
    request: Request,
    response: Response,
) -> TripAnswer:
    """Ask for a trip to be created at Avinode, or attach one that is there; a session has one open trip at most."""
    trip, status = await place_trip(trips, caller, account_of(caller, request), session_id, order=body, write=write)
    response.status_code = status
    return TripAnswer(trip=trip, stored=status != 202)


async def place_trip(
    trips: Trips, caller: Caller, account: str, session_id: str, *, order: NewTrip | AttachTrip, write: Write
) -> tuple[Trip, int]:
    """Ask for a trip or attach one, as the route does, and whoever acts for its user.

    Returns:
        The trip, and 201 where it is new, 200 where it is this session's already, 202 where it is not stored yet.

    Raises:
        Refused: It is not to be had: the session has another, it is somebody else's, or there were too many orders.
        BrokerAway: Nothing can be accepted.
    """
    require_broker(trips.publisher)
    await trips.limits.count_order(account)
    own = await trips.own.find(caller, session_id)
    event = begun_by(order, write, own.user_id, session_id, own.facts.read_at)
    placing = Placing(trips.accepting, trips.queries, event)
    repeated = await placing.repeated()
    if repeated is not None:
        return repeated, 200
    if isinstance(event, TripAttached):
        stored = await _attach(trips, caller, account, event, partial(placing.publish, write.wait_s))
    else:
        stored = await placing.publish(write.wait_s)
    return (stored, 201) if stored else (expected_trip(event, own.shown.message_count), 202)


@router.get("/api/trips/{trip_id}", responses=problem_responses(401, 404, 422, 429, 503))
async def get_trip(
    trips: TripsDep,
    caller: KnownCallerDep,
    trip_id: Annotated[TripName, Path(description="Our id, Avinode's, or the code that people see")],
) -> Trip:
    """Show one trip, as the caller's session about it that was active last has it."""
    return await trip_named(trips, caller, trip_id)


async def trip_named(trips: Trips, caller: Caller, trip_id: UUID | str) -> Trip:
    """Find a trip by our id, Avinode's, or its code.

    Raises:
        NoSuchTrip: There is none for this caller.
    """
    named = {"trip_id": trip_id} if isinstance(trip_id, UUID) else {"avinode_trip_id": trip_id}
    wanted = TripFilter(**named, projects=caller.projects)
    spoken = await trips.turns.last_spoken(caller.user_ids)
    trip = await trips.queries.find(caller.user_ids, wanted, spoken)
    if trip is None and isinstance(trip_id, UUID):
        trip = await _trip_promised(trips, caller, trip_id, spoken)
    if trip is None:
        raise NoSuchTrip
    return trip


async def _trip_promised(trips: Trips, caller: Caller, trip_id: UUID, spoken: Sequence[Spoken]) -> Trip | None:
    """Return what became of the order that was promised this id: a trip of another id, or none and why."""
    order = await trips.queries.order(caller.user_ids, trip_id)
    if order is None or not await trips.own.shows(caller, order.user_id, order.session_id):
        return None
    if order.refusal is not None:
        return lost_trip(order)
    wanted = TripFilter(trip_id=order.trip_id, session_id=order.session_id)
    return await trips.queries.find((order.user_id,), wanted, spoken)


async def _attach(
    trips: Trips, caller: Caller, account: str, order: TripAttached, publish: Callable[[], Awaitable[Trip | None]]
) -> Trip | None:
    """Attach a trip, unless it is somebody else's: that does not exist for this user, unless trips are shared."""
    await trips.limits.count_attachment(account, order)
    mine = ((order.user_id,), order.avinode_trip_id, caller.projects)
    if not trips.settings.trips_shared and await trips.admin_queries.held_by_others(*mine):
        await trips.limits.count_wrong(account, order)
        raise NoSuchTrip
    try:
        return await publish()
    finally:
        await trips.limits.look_again(account)
