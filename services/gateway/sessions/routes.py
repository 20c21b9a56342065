"""Sessions: the caller's list, one of them, and its tag."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.account.lanes import Lanes
from services.gateway.http.fields import Name, SessionId
from services.gateway.http.handed import from_app
from services.gateway.http.pages import Page, PageQuery, Paging
from services.gateway.http.problems import problem_responses
from services.gateway.http.strict_route import StrictRoute
from services.gateway.models.answers import Tag
from services.gateway.models.queries import TagQueries
from services.gateway.sessions.answers import Session, SessionAnswer
from services.gateway.sessions.edits import MOST_LABELS
from services.gateway.sessions.filters import SessionFilter
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.view import etag_of, place_of, show_in_order
from services.gateway.turns.readings import TurnReadings
from services.gateway.writes.receipts import Receipts
from shared.preview import PREVIEW_LENGTH

MAX_WAIT_S = 10.0
# An answer with an ETag may be kept, by its caller alone, who asks each time whether it still holds.
KEPT_BY_ITS_CALLER = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@dataclass(frozen=True)
class Sessions:
    """What these routes work with."""

    own: OwnSessions
    turns: TurnReadings
    queries: SessionQueries
    tags: TagQueries
    receipts: Receipts
    lanes: Lanes


PAGING = Paging("sessions")
SessionsDep = Annotated[Sessions, from_app(Sessions)]


class SessionQuery(PageQuery):
    helper: Name | None = None
    project_id: Name | None = None
    model: Name | None = None
    folder: Name | None = None
    label: list[Name] = Field(default_factory=list, max_length=MOST_LABELS)  # all of which a session has
    pinned: bool | None = None
    archived: bool = False
    tag: Name | None = None


class SessionPage(Page):
    sessions: list[Session]


@router.get("/api/chat/sessions", responses=problem_responses(401, 422, 429, 503))
async def list_sessions(
    sessions: SessionsDep, caller: CallerDep, query: Annotated[SessionQuery, Query()]
) -> SessionPage:
    """List the caller's sessions, the newest activity first."""
    wanted = SessionFilter(**query.model_dump(exclude={"limit", "cursor"}), projects=caller.projects)
    async with sessions.lanes.of(caller):
        page, cursor = await read_page(sessions, caller, wanted, query)
    return SessionPage(sessions=[session for _, session in page], next_cursor=cursor)


async def read_page(
    sessions: Sessions, caller: Caller, wanted: SessionFilter, query: PageQuery
) -> tuple[list[tuple[str, Session]], str | None]:
    """Return a page of sessions, each with whose it is, and the cursor of the next.

    Raises:
        Invalid: The cursor is not one of this list.
    """
    before = PAGING.before(query)
    turns = await sessions.turns.sessions_of(caller.user_ids)
    facts = await sessions.queries.page(caller.user_ids, wanted, query.limit, before, turns)
    newest = {(turn.user_id, turn.session_id): turn for turn in turns}
    shown = show_in_order(facts, newest, wanted=wanted, before=before)
    page, cursor = PAGING.cut([(place_of(view), view) for view in shown], query)
    speaking = [view.speaking for view in page if view.speaking]
    previews = await sessions.turns.previews(speaking, PREVIEW_LENGTH) if speaking else {}
    return [(view.user_id, view.quoting(previews)) for view in page], cursor


@router.get(
    "/api/chat/sessions/{session_id}",
    response_model=SessionAnswer,
    responses={304: {"description": "It is as `If-None-Match` says"}, **problem_responses(401, 404, 422, 429, 503)},
)
async def get_session(
    sessions: SessionsDep,
    caller: CallerDep,
    session_id: SessionId,
    response: Response,
    if_none_match: Annotated[str | None, Header()] = None,
) -> SessionAnswer | Response:
    """Show one session; `ETag` names this version of it."""
    async with sessions.lanes.of(caller):
        own = await sessions.own.find(caller, session_id)
    etag = etag_of(own.facts, own.shown)
    if etag is not None:
        response.headers.update({"ETag": etag} | KEPT_BY_ITS_CALLER)
        if _is_named(etag, if_none_match):
            return Response(status_code=304, headers=response.headers)
    return SessionAnswer(session=own.shown)


def _is_named(etag: str, if_none_match: str | None) -> bool:
    """Compare weakly, since a proxy may have made the tag weak (RFC 9110, section 13.1.2)."""
    named = if_none_match or ""
    return etag in named or named.strip() == "*"  # its quotes end it: no other tag has it within


@router.get(
    "/api/chat/sessions/{session_id}/tag",
    response_model=Tag,
    responses={204: {"description": "It has no tag, or none yet"}, **problem_responses(401, 404, 422, 429, 503)},
)
async def get_tag(
    sessions: SessionsDep,
    caller: CallerDep,
    session_id: SessionId,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a tag that is to come")] = 0,
) -> Tag | Response:
    """Show a session's tag."""
    with sessions.receipts.watching(caller.user_ids, session_id) as receipt:
        own = await sessions.own.find(caller, session_id)
        tag = own.facts.tag or await receipt.until(lambda: sessions.tags.of_session((own.user_id,), session_id), wait)
    return tag or Response(status_code=204)
