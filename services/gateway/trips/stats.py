"""How many trips there are, by status and by step; sessions without a trip are counted as those that begin."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Self, get_args

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from services.gateway.account.identity import KnownCallerDep
from services.gateway.account.projects import Projects
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.status import FIRST_STEP, TripStatus
from services.gateway.trips.finding.without_trip import Without
from services.gateway.trips.listing import TripLists

# In the order in which a trip passes through them: see services/workflow/steps.py.
STEPS = (FIRST_STEP, "searching_aircraft", "requesting_quotes", "analyzing_options", "proposal_ready")
STATUSES: tuple[TripStatus, ...] = get_args(TripStatus)

router = APIRouter(tags=["trips"], route_class=StrictRoute)


class TripStats(BaseModel):
    """Each number is how many rows `GET /api/trips?include=sessions` has with that status and step."""

    total: int
    by_status: dict[TripStatus, int]
    by_step: dict[str, int]
    steps_by_status: dict[TripStatus, dict[str, int]]
    is_complete: bool  # false: there were too many sessions without a trip to count the older ones, too

    @classmethod
    def of(cls, trips: Counter[tuple[TripStatus, str]], without: Without, *, is_complete: bool = True) -> Self:
        counts = Counter(trips)
        counts.update({(status, FIRST_STEP): number for status, number in without.counts.items()})
        return cls(
            total=counts.total(),
            by_status={status: sum(counts[status, step] for step in STEPS) for status in STATUSES},
            by_step={step: sum(counts[status, step] for status in STATUSES) for step in STEPS},
            steps_by_status={status: {step: counts[status, step] for step in STEPS} for status in STATUSES},
            is_complete=is_complete and without.is_complete,
        )


class NoQuery(BaseModel):
    """A filter that is not known is refused, as lists do."""

    model_config = ConfigDict(extra="forbid")


@router.get("/api/trips/stats", responses=problem_responses(401, 422, 429, 503))
async def get_trip_stats(
    lists: Annotated[TripLists, from_app(TripLists)], caller: KnownCallerDep, _query: Annotated[NoQuery, Query()]
) -> TripStats:
    """Count the trips of the caller's sessions, and the sessions without a trip, by status and step."""
    async with lists.lanes.of(caller):
        return await stats_of(lists, caller.user_ids, caller.projects)


async def stats_of(lists: TripLists, user_ids: Sequence[str], projects: Projects = None) -> TripStats:
    """Count what these users have."""
    without = await lists.without.count(user_ids, projects, await lists.turns.sessions_of(user_ids))
    trips = await lists.queries.count(user_ids, projects, await lists.turns.last_spoken(user_ids))
    return TripStats.of(trips, without)
