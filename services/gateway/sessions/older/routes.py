"""Sessions and messages by the paths of older clients, which know no pages; the work is that of the newer routes."""

from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from services.gateway.account.identity import Caller, CallerDep, account_of
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.answers.sliced import SlicedResponse
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name, SessionId
from services.gateway.http.requests.pages import ALL, CursorQuery, OrAll, PageQuery, limit_schema
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import WriteDep
from services.gateway.sessions.answers import Feedback
from services.gateway.sessions.beginning.creating import Creating, NewSession
from services.gateway.sessions.finding.filters import SessionFilter
from services.gateway.sessions.messages.routes import MessageLimit, MessageQuery, SessionMessagesDep, answer_messages
from services.gateway.sessions.older.spelling import (
    OlderMessage,
    OlderMessagePage,
    OlderSession,
    OlderSessionAnswer,
    OlderSessionPage,
)
from services.gateway.sessions.routes import Sessions, SessionsDep, read_page
from services.gateway.turns.past.history import HistoryMessage
from shared.errors import Forbidden

SLICE = 200  # sessions that are read at once
SLICES_AT_ONCE = 5  # of a list whose client asks for no page
SESSION_BYTES = 4096  # that one takes while it is read, about

router = APIRouter(prefix="/api/sessions", tags=["sessions"], route_class=StrictRoute)


class OlderNewSession(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: Name | None = None
    session_id: Name | None = Field(None, validation_alias=AliasChoices("sessionId", "session_id"))  # the caller's own


class OlderSessionQuery(CursorQuery):
    """Which sessions: the first 1,000, or a page where `limit` says so. `session_id` is the caller's own id."""

    session_id: Name | None = None  # the route reads `sessionId` as this
    limit: Annotated[int, Field(ge=1, le=SLICE), OrAll, limit_schema(SLICE)] = Field("all", validate_default=True)


class OlderMessageQuery(MessageQuery):
    """Which messages: the newest 5,000, or a page where `limit` says so."""

    limit: MessageLimit = Field("all", validate_default=True)


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": OlderSessionAnswer, "description": "It was there already"},
        202: {"model": OlderSessionAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
)
async def create_older_session(
    *,
    creating: Annotated[Creating, from_app(Creating)],
    caller: CallerDep,
    body: OlderNewSession,
    write: WriteDep,
    request: Request,
    response: Response,
) -> OlderSessionAnswer:
    """Begin a session with a model, in which nothing was said yet; equal ones within 2 s are one."""
    _require_own(caller, body.session_id)
    account = account_of(caller, request)
    session, response.status_code = await creating.create(caller, NewSession(model=body.model), write, account)
    return OlderSessionAnswer.naming(OlderSession.of(caller.user_id, session))


@router.get("", response_model=OlderSessionPage, responses=problem_responses(401, 403, 422, 429, 503))
async def list_older_sessions(
    sessions: SessionsDep,
    messages: SessionMessagesDep,
    caller: CallerDep,
    query: Annotated[OlderSessionQuery, Query()],
) -> Response:
    """List the caller's sessions, the newest activity first: up to 1,000 at once."""
    _require_own(caller, query.session_id)
    reading = _Reading(sessions, caller, query.cursor)
    sizes = [SLICE] * SLICES_AT_ONCE if query.limit == ALL else [query.limit]
    made = [(size * SESSION_BYTES, partial(reading.next_page, size)) for size in sizes]
    lane = partial(sessions.lanes.of, caller)
    return SlicedResponse(messages.room, lane, made, before=b'{"sessions":[', after=reading.end)


@router.get(
    "/{session_id}/messages", response_model=OlderMessagePage, responses=problem_responses(401, 404, 422, 429, 503)
)
async def list_older_messages(
    messages: SessionMessagesDep,
    caller: CallerDep,
    session_id: SessionId,
    query: Annotated[OlderMessageQuery, Query()],
) -> Response:
    """List a session's messages in order: up to 5,000 at once, and 64 MB."""

    def spelled(shown: HistoryMessage, _feedback: Feedback | None) -> bytes:
        return OlderMessage.of(session_id, shown).model_dump_json(by_alias=True).encode()

    return await answer_messages(messages, caller, session_id, query, spelled)


class _Reading:
    """A list that is read and sent page by page."""

    def __init__(self, sessions: Sessions, caller: Caller, cursor: str | None) -> None:
        self._sessions = sessions
        self._caller = caller
        self._wanted = SessionFilter(projects=caller.projects)
        self._cursor = cursor
        self._is_over = False

    async def next_page(self, limit: int) -> bytes:
        """Read the next sessions, as JSON with commas between; nothing where there are none."""
        if self._is_over:
            return b""
        query = PageQuery(limit=limit, cursor=self._cursor)
        page, self._cursor = await read_page(self._sessions, self._caller, self._wanted, query)
        self._is_over = self._cursor is None
        shown = (OlderSession.of(user_id, session) for user_id, session in page)
        return b",".join(session.model_dump_json(by_alias=True).encode() for session in shown)

    def end(self) -> bytes:
        """Close the list, and say how to go on from it."""
        return b"]," + orjson.dumps({"next_cursor": self._cursor, "has_more": not self._is_over})[1:]


def _require_own(caller: Caller, user_id: str | None) -> None:
    """Refuse an id that a client keeps for its user, where it is not the caller's."""
    if user_id is not None and user_id not in caller.user_ids:
        raise Forbidden("sessionId must be the caller's own visitor_id (or user_id).")
