"""Sessions: the caller's list, one of them, and its tag."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.account.projects import Projects
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name, SessionId
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.models.answers import SessionTag
from services.gateway.models.queries import TagQueries
from services.gateway.sessions.answers import Session, SessionAnswer, Snippet
from services.gateway.sessions.edits.fields import MOST_LABELS
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.finding.searching import Found
from services.gateway.sessions.finding.snippets import snippet_parts
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.sharing.shared_with import SharedWithDep, SharedWithPage
from services.gateway.sessions.view import etag_of, place_of, show_in_order
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.writes.receipts import Receipts
from shared.search_words import Search, search_of
from shared.texts.preview import PREVIEW_LENGTH

MAX_WAIT_S = 10.0
MOST_SEARCHED = 200  # characters
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
    q: Annotated[str, Field(max_length=MOST_SEARCHED)] | None = None  # words of a title or message
    shared: bool = False  # what others share with the caller, of which nothing else can be asked

    def wanted(self, projects: Projects) -> SessionFilter:
        """Return which sessions of a caller's are asked for, who is limited to these projects.

        Raises:
            Invalid: There is no word in what is searched for.
        """
        asked = self.model_dump(exclude={"limit", "cursor", "q", "shared"})
        return SessionFilter(**asked, search=self.search(), projects=projects)

    def require_no_filter(self) -> None:
        """Refuse to choose among what others share.

        Raises:
            Invalid: Something is asked for that nobody is told of others' sessions.
        """
        for name in sorted(self.model_fields_set - {"limit", "cursor", "shared"}):
            raise refused_field(name, "cannot be asked for with shared")

    def search(self) -> Search | None:
        """Return what is searched for.

        Raises:
            Invalid: There is no word in it.
        """
        if self.q is None:
            return None
        search = search_of(self.q)
        if search is None:
            raise refused_field("q", "has no word to look for")
        return search


class SessionPage(Page):
    sessions: list[Session]


@router.get("/api/chat/sessions", responses=problem_responses(401, 422, 429, 503))
async def list_sessions(
    sessions: SessionsDep, shared_with: SharedWithDep, caller: CallerDep, query: Annotated[SessionQuery, Query()]
) -> SessionPage | SharedWithPage:
    """List the caller's sessions, the newest activity first; or those that others share with them."""
    if query.shared:
        query.require_no_filter()
        return await shared_with.page(caller, query)
    wanted = query.wanted(caller.projects)
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
    before, found = PAGING.before(query), None
    turns = await sessions.turns.sessions_of(caller.user_ids)
    if wanted.search is None:
        facts = await sessions.queries.page(caller.user_ids, wanted, query.limit, before, turns)
    else:
        facts, found = await sessions.queries.found(caller.user_ids, wanted, query.limit, before, turns)
    newest = {(turn.user_id, turn.session_id): turn for turn in turns}
    shown = show_in_order(facts, newest, wanted=wanted, before=before)
    page, cursor = PAGING.cut([(place_of(view), view) for view in shown], query)
    speaking = [view.speaking for view in page if view.speaking]
    previews = await sessions.turns.previews(speaking, PREVIEW_LENGTH) if speaking else {}
    listed = [(view.user_id, view.quoting(previews)) for view in page]
    if wanted.search is not None and found is not None:
        listed = await _with_snippets(sessions, caller, listed, wanted.search, found)
    return listed, cursor


async def _with_snippets(
    sessions: Sessions, caller: Caller, listed: Sequence[tuple[str, Session]], search: Search, found: Found
) -> list[tuple[str, Session]]:
    """Show of each session where the words are."""
    said = {key: message_id for user_id, session in listed if (message_id := found[key := (user_id, session.id)])}
    texts = await sessions.queries.texts(caller.user_ids, said) if said else {}
    shown = []
    for user_id, session in listed:
        key = (user_id, session.id)
        text = texts.get(key, "") if key in said else session.title or ""
        snippet = Snippet(message_id=said.get(key), parts=snippet_parts(text, search))
        shown.append((user_id, session.model_copy(update={"snippet": snippet})))
        await asyncio.sleep(0)  # a long text takes some milliseconds
    return shown


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
    response_model=SessionTag,
    responses={204: {"description": "It has no tag, or none yet"}, **problem_responses(401, 404, 422, 429, 503)},
)
async def get_tag(
    sessions: SessionsDep,
    caller: CallerDep,
    session_id: SessionId,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for a tag that is to come")] = 0,
) -> SessionTag | Response:
    """Show a session's tag."""
    with sessions.receipts.watching(caller.user_ids, session_id) as receipt:
        own = await sessions.own.find(caller, session_id)
        tag = own.facts.tag or await receipt.until(lambda: sessions.tags.of_session((own.user_id,), session_id), wait)
    return tag.answer(own.shown.experiment_name) if tag else Response(status_code=204)
