"""Trips: ask for one, attach one, see them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from services.gateway.beginning import Beginning
from services.gateway.cursors import cut_page, read_time_cursor
from services.gateway.expected_trip import expected_trip
from services.gateway.identity import CallerDep, KnownCallerDep
from services.gateway.own_session import own_session
from services.gateway.parts import Parts, PartsDep
from services.gateway.problems import problem_responses
from services.gateway.reading.trips import TripFilter
from services.gateway.schemas import Name, PageQuery, SessionId
from services.gateway.strict_route import StrictRoute
from services.gateway.trip_order import AttachTrip, TripName, TripOrder, TripReference, begun_by
from services.gateway.trip_record import Trip, TripAnswer, TripPage
from services.gateway.write_headers import WriteDep
from shared.errors import NotFound

router = APIRouter(tags=["trips"], route_class=StrictRoute)


class TripQuery(PageQuery):
    step: Name | None = None
    session_id: SessionId | None = None
    request_id: UUID | None = None
    avinode_trip_id: TripReference | None = None
    avinode_rfp_id: Name | None = None
    avinode_rfq_id: Name | None = None
    quote_id: Name | None = None


@router.post(
    "/api/chat/sessions/{session_id}/trips",
    status_code=201,
    responses={
        200: {"model": TripAnswer, "description": "It is this session's trip already"},
        202: {"model": TripAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    },
)
async def begin_trip(
    *, parts: PartsDep, caller: CallerDep, session_id: SessionId, body: TripOrder, write: WriteDep, response: Response
) -> TripAnswer:
    """Ask for a trip to be created at Avinode, or attach one that is there; a session has one open trip at most."""
    own = await own_session(parts, caller, session_id)
    event = begun_by(body, own.user_id, session_id, write.key, write.correlation_id)
    beginning = Beginning(parts, event)
    repeated = await beginning.trip()
    if repeated is not None:
        response.status_code = 200
        return TripAnswer(trip=repeated, stored=True)
    if isinstance(body, AttachTrip):
        await _refuse_strangers(parts, own.user_id, body.avinode_trip_id)
    stored = await beginning.publish(write.wait_s)
    response.status_code = 201 if stored else 202
    return TripAnswer(trip=stored or expected_trip(event, own.shown.message_count), stored=stored is not None)


@router.get("/api/trips", responses=problem_responses(401, 422, 503))
async def list_trips(parts: PartsDep, caller: KnownCallerDep, query: Annotated[TripQuery, Query()]) -> TripPage:
    """List the trips of the caller's sessions, one record for each session that is about it, the newest first."""
    before = read_time_cursor("trips", query.cursor, lambda key: UUID(key.partition("/")[0]))
    wanted = TripFilter(**query.model_dump(exclude={"limit", "cursor"}))
    rows = await parts.reader.trips.page(caller.user_ids, wanted, query.limit + 1, before)
    page, cursor = cut_page("trips", rows, query.limit)
    return TripPage(trips=page, next_cursor=cursor, has_more=cursor is not None)


@router.get("/api/trips/{trip_id}", responses=problem_responses(401, 404, 422, 503))
async def get_trip(
    parts: PartsDep,
    caller: KnownCallerDep,
    trip_id: Annotated[TripName, Path(description="Our id, Avinode's, or the code that people see")],
) -> Trip:
    """Show one trip, as the newest of the caller's sessions about it has it."""
    wanted = TripFilter(trip_id=trip_id) if isinstance(trip_id, UUID) else TripFilter(avinode_trip_id=trip_id)
    trip = await parts.reader.trips.find(caller.user_ids, wanted)
    if trip is None:
        raise NotFound("There is no such trip.")
    return trip


async def _refuse_strangers(parts: Parts, user_id: str, reference: str) -> None:
    """A trip of somebody else's does not exist for this user, unless trips are shared."""
    if not parts.settings.trips_shared and await parts.admin.trips.held_by_others((user_id,), reference):
        raise NotFound("There is no such trip.")
