"""Traces: which models were asked, by whom and in which session, and what came of it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field

from services.gateway.account.identity import Caller, KnownCallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.recording import ReasonQuery, Recording
from services.gateway.analytics.owners import owners
from services.gateway.analytics.traces.filters import TraceFilter, Whose
from services.gateway.analytics.traces.places import read_key
from services.gateway.analytics.traces.queries import TraceQueries
from services.gateway.analytics.traces.record import Status, TracePage, WholeTrace
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Json, Name, SessionId
from services.gateway.http.requests.pages import PageQuery, Paging
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from shared.errors import NotFound
from shared.events import W3cTraceId

router = APIRouter(prefix="/api/analytics", tags=["analytics"], route_class=StrictRoute)

PAGING = Paging("traces", read_key)
# What a sender tells of a call may hold what was said, and a model's service quotes it where it complains.
WITHOUT_WORDS: Json = {"attributes": {}, "error": None}


@dataclass(frozen=True)
class Traces:
    """What these routes work with."""

    queries: TraceQueries
    lanes: Lanes
    recording: Recording


TracesDep = Annotated[Traces, from_app(Traces)]


class TraceQuery(PageQuery):
    """Which traces; `session_tag` is a tag, or with a `*` at its end the beginning of tags."""

    session_tag: Name | None = None
    session_id: SessionId | None = None
    model: Name | None = None
    status: Status | None = None
    user_id: Name | None = None
    w3c_trace_id: W3cTraceId | None = None
    since: Instant | None = Field(None, alias="from")
    until: Instant | None = Field(None, alias="to")


class OwnerQuery(ReasonQuery):
    user_id: Name | None = None


def _whose(caller: Caller, query: TraceQuery) -> Whose:
    if query.user_id is None and caller.reads_everybody:
        if query.session_id is not None:
            raise refused_field("user_id", "must be named with session_id: two users may have sessions of one id")
        return Whose(everybody=True, as_admin=True)
    return Whose(owners(caller, query.user_id), as_admin=caller.reads_everybody)


def _is_own(caller: Caller, whose: Whose) -> bool:
    return not whose.everybody and set(whose.user_ids) <= set(caller.user_ids)


async def _list(traces: Traces, caller: Caller, query: TraceQuery) -> TracePage:
    whose, before = _whose(caller, query), PAGING.before(query)
    wanted = TraceFilter(
        **query.model_dump(exclude={"limit", "cursor", "user_id"}, by_alias=False), projects=caller.projects
    )
    async with traces.lanes.of(caller):
        rows = await traces.queries.page(whose, wanted, query.limit + 1, before)
    page, cursor = PAGING.cut(rows, query)
    if not traces.recording.shows_bodies and not _is_own(caller, whose):
        page = [each.model_copy(update={"error": None}) for each in page]
    return TracePage(traces=page, next_cursor=cursor)


@router.get("/traces", responses=problem_responses(401, 403, 422, 429, 503))
async def list_traces(traces: TracesDep, caller: KnownCallerDep, query: Annotated[TraceQuery, Query()]) -> TracePage:
    """List traces: those that run first, then the others, each part the newest first."""
    return await _list(traces, caller, query)


@router.get("/traces/list", responses=problem_responses(401, 403, 422, 429, 503))
async def list_traces_too(
    traces: TracesDep, caller: KnownCallerDep, query: Annotated[TraceQuery, Query()]
) -> TracePage:
    """List traces, by the path that older clients know."""
    return await _list(traces, caller, query)


@router.get("/traces/{trace_id}", responses=problem_responses(401, 403, 404, 422, 429, 503))
async def get_trace(
    traces: TracesDep,
    caller: KnownCallerDep,
    trace_id: SessionId,
    query: Annotated[OwnerQuery, Query()],
    request: Request,
) -> WholeTrace:
    """Show one trace, and where its messages and its trip are; an administrator names the user whose it is."""
    whose = Whose(owners(caller, query.user_id), as_admin=caller.reads_everybody)
    reading = None if _is_own(caller, whose) else await traces.recording.begin(caller, request)
    found = await traces.queries.find(whose, trace_id, caller.projects)
    if found is None:
        raise NotFound("There is no such trace.")
    if reading is None:
        return found
    if not reading.shows_bodies:
        return found.model_copy(update=WITHOUT_WORDS)
    if not found.attributes:
        return found
    await reading.record("trace", [found.user_id])
    return found
