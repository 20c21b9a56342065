"""The trips of all users, for administrators."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query

from services.gateway.account.identity import AdminDep
from services.gateway.account.recording import ReadingDep, Reason
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import Name
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.trips.finding.filters import TripFilter
from services.gateway.trips.finding.without_trip import SessionsWithoutTrip
from services.gateway.trips.listing import PAGING, TripLists, TripQuery, merged, rows_of
from services.gateway.trips.queries import TripQueries
from services.gateway.trips.records.record import TripPage, TripRow
from services.gateway.trips.stats import NoQuery, TripStats, stats_of

router = APIRouter(prefix="/api/admin/trips", tags=["admin"], route_class=StrictRoute)


@dataclass(frozen=True)
class EverybodysTrips:
    """What these routes work with."""

    lists: TripLists  # of one user, who is read as they would read themselves
    queries: TripQueries  # here and below: of the administrators' role
    without: SessionsWithoutTrip


EverybodysTripsDep = Annotated[EverybodysTrips, from_app(EverybodysTrips)]


class EverybodysQuery(TripQuery):
    user_id: Name | None = None
    reason: Reason | None = None

    def refuse_unknowable(self, wanted: TripFilter) -> None:
        """Refuse what no index tells: whose a session is that is about no trip.

        Raises:
            Invalid: That is asked for.
        """
        if wanted.asks_for_sessions and wanted.session_id is not None and self.user_id is None:
            raise refused_field("user_id", "must be named where a session without a trip is looked for by its id")


class StatsQuery(NoQuery):
    user_id: Name | None = None


@router.get("", responses=problem_responses(401, 403, 422, 503))
async def list_everybodys_trips(
    everybodys: EverybodysTripsDep,
    caller: AdminDep,
    reading: ReadingDep,
    query: Annotated[EverybodysQuery, Query()],
) -> TripPage:
    """List the trips of all users, or of one, that of the session with the newest activity first; it is recorded."""
    wanted, before = query.wanted(caller), PAGING.before(query)
    query.refuse_unknowable(wanted)
    if query.user_id is not None:
        rows = await rows_of(everybodys.lists, (query.user_id,), wanted, query.limit + 1, before)
    else:
        rows = await _rows(everybodys, wanted, query.limit + 1, before)
    page, cursor = PAGING.cut(rows, query)
    if not reading.shows_bodies:
        page = [row.without_words() for row in page]
    await reading.record("trips", [row.iso_agent_id for row in page])
    return TripPage(trips=page, next_cursor=cursor)


@router.get("/stats", responses=problem_responses(401, 403, 422, 503))
async def get_everybodys_trip_stats(
    everybodys: EverybodysTripsDep, _caller: AdminDep, query: Annotated[StatsQuery, Query()]
) -> TripStats:
    """Count the trips of all users, or of one, and the sessions without a trip, by status and step."""
    if query.user_id is not None:
        return await stats_of(everybodys.lists, (query.user_id,))
    without = await everybodys.without.count((), None, ())
    trips, is_complete = await everybodys.queries.count_of_all()
    return TripStats.of(trips, without, is_complete=is_complete)


async def _rows(
    everybodys: EverybodysTrips, wanted: TripFilter, limit: int, before: Place | None
) -> list[tuple[Place, TripRow]]:
    talks: list[tuple[Place, TripRow]] = []
    if wanted.asks_for_sessions:
        talks = await everybodys.without.page((), wanted, limit, before, ())
    return merged(talks, await everybodys.queries.page_of_all(wanted, limit, before))[:limit]
