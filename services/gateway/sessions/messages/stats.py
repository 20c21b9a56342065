"""What a session comes to, in numbers."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter

from services.gateway.account.identity import CallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.messages.stats_queries import Counts, StatsQueries
from services.gateway.sessions.own_session import OwnSessions

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class SessionStats(Counts):
    session_id: str
    stored: bool  # false: the newest messages are not stored yet, and not counted


@dataclass(frozen=True)
class Stats:
    """What the route works with."""

    own: OwnSessions
    queries: StatsQueries
    lanes: Lanes


@router.get("/api/chat/sessions/{session_id}/stats", responses=problem_responses(401, 404, 422, 429, 503))
async def get_stats(stats: Annotated[Stats, from_app(Stats)], caller: CallerDep, session_id: SessionId) -> SessionStats:
    """Count a session's words, tool calls, tokens and turns, as far as they are stored."""
    async with stats.lanes.of(caller):
        own = await stats.own.find(caller, session_id)
        counts = await stats.queries.of(own.user_id, session_id)
    return SessionStats(session_id=session_id, stored=own.shown.stored, **counts.model_dump())
