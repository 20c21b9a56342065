"""`GET /api/trips`: the trips of the caller's sessions, and on demand the sessions that are about none yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from services.gateway.account.identity import Caller, KnownCallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import Name, SessionId
from services.gateway.http.requests.pages import PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.status import TripStatus
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.page_keys import order_of, read_key
from services.gateway.trips.finding.without_trip import SessionsWithoutTrip
from services.gateway.trips.ordering.order import TripReference
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.records.record import TripPage, TripRow
from services.gateway.turns.stored.readings import TurnReadings

router = APIRouter(tags=["trips"], route_class=StrictRoute)


@dataclass(frozen=True)
class TripLists:
    """What these routes work with."""

    turns: TurnReadings
    queries: TripQueries
    without: SessionsWithoutTrip
    lanes: Lanes


class TripQuery(PageQuery):
    """Which trips. `include=sessions` asks for sessions without a trip, too, and so does their step."""

    status: TripStatus | None = None
    step: Name | None = None
    session_id: SessionId | None = None
    request_id: UUID | None = None
    avinode_trip_id: TripReference | None = None
    avinode_rfp_id: Name | None = None
    avinode_rfq_id: Name | None = None
    quote_id: Name | None = None
    with_quote: bool | None = None
    include: Literal["sessions"] | None = None

    def wanted(self, caller: Caller) -> TripFilter:
        asked = self.model_dump(exclude={"limit", "cursor", "include", "user_id", "reason"})
        return TripFilter(**asked, sessions=self.include == "sessions", projects=caller.projects)


def _is_key(key: str) -> None:
    trip_id, _, _ = read_key(key)
    if trip_id:
        UUID(trip_id)


PAGING = Paging("trips", _is_key)


@router.get("/api/trips", responses=problem_responses(401, 422, 429, 503))
async def list_trips(
    lists: Annotated[TripLists, from_app(TripLists)], caller: KnownCallerDep, query: Annotated[TripQuery, Query()]
) -> TripPage:
    """List the trips of the caller's sessions, one record for each session about it, the newest activity first."""
    wanted, before = query.wanted(caller), PAGING.before(query)
    async with lists.lanes.of(caller):
        rows = await rows_of(lists, caller.user_ids, wanted, query.limit + 1, before)
    page, cursor = PAGING.cut(rows, query)
    return TripPage(trips=page, next_cursor=cursor)


async def rows_of(
    lists: TripLists, user_ids: Sequence[str], wanted: TripFilter, limit: int, before: Place | None
) -> list[tuple[Place, TripRow]]:
    """Read both kinds of rows; sessions first, or one that gets its trip in between would be missed."""
    talks: Sequence[tuple[Place, TripRow]] = ()
    if wanted.asks_for_sessions:
        turns = await lists.turns.sessions_of(user_ids)
        talks = await lists.without.page(user_ids, wanted, limit, before, turns)
    spoken = await lists.turns.last_spoken(user_ids)
    trips = await lists.queries.page(user_ids, wanted, limit, before, spoken)
    return merged(talks, trips)[:limit]


def merged(
    talks: Sequence[tuple[Place, TripRow]], trips: Sequence[tuple[Place, TripRow]]
) -> list[tuple[Place, TripRow]]:
    """Put both in one order, the newest activity first, without the sessions that have got a trip meanwhile."""
    known = {(row.iso_agent_id, row.conversation_id) for _, row in trips}
    still = [each for each in talks if (each[1].iso_agent_id, each[1].conversation_id) not in known]
    return sorted([*still, *trips], key=lambda each: order_of(each[0]), reverse=True)
