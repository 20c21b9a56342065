"""A session as one document, however long: read and sent piece by piece, and never held whole."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.answers.sliced import Slice, SlicedResponse
from services.gateway.http.handed import from_app
from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.answers import Feedback, Message, Session
from services.gateway.sessions.messages.conversation import Shown
from services.gateway.sessions.messages.markdown import opening_of, section_of
from services.gateway.sessions.messages.pages import Window, slices
from services.gateway.sessions.messages.routes import SessionMessages, spelled
from services.gateway.sessions.own_session import OwnSession
from services.gateway.turns.past.history import HistoryMessage

READ_AT_ONCE = 1000  # messages, by what is small of them

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class SessionDocument(BaseModel):
    """A session with all its messages."""

    session: Session
    messages: list[Message]


@router.get(
    "/api/chat/sessions/{session_id}/export",
    response_model=SessionDocument,
    responses={
        200: {"content": {"text/markdown": {"schema": {"type": "string"}}}, "description": "As an attachment"},
        **problem_responses(401, 404, 422, 429, 503),
    },
)
async def export_session(
    messages: Annotated[SessionMessages, from_app(SessionMessages)],
    caller: CallerDep,
    session_id: SessionId,
    form: Annotated[Literal["md", "json"], Query(alias="format")] = "md",
) -> Response:
    """Send a session with all its messages, as Markdown or JSON."""
    async with messages.lanes.of(caller):
        own = await messages.own.find(caller, session_id)
    is_json = form == "json"
    return SlicedResponse(
        messages.room,
        partial(messages.lanes.of, caller),
        _slices(messages, caller, own, *((spelled, b",") if is_json else (_section, b"\n"))),
        before=b'{"session":' + own.shown.model_dump_json().encode() + b',"messages":['
        if is_json
        else opening_of(own.shown).encode(),
        between=b"," if is_json else b"\n",
        after=b"]}" if is_json else b"",
        media_type="application/json" if is_json else "text/markdown; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="session-{session_id}.{form}"'},
    )


async def _slices(
    messages: SessionMessages, caller: Caller, own: OwnSession, spell: Shown, between: bytes
) -> AsyncIterator[Slice]:
    """Find the messages from the first one on, page by page."""
    after: Place | None = None
    has_more = True
    while has_more:
        async with messages.lanes.of(caller):
            window = Window(after=after, oldest_first=True)
            page, has_more = await messages.conversation.page(own, window, READ_AT_ONCE)
        for piece in slices(page):
            size = sum(listed.size for listed in piece)
            yield size, partial(messages.conversation.written, own, piece, spell, between)
        after = page[-1].place if page else after


def _section(shown: HistoryMessage, _feedback: Feedback | None) -> bytes:
    return section_of(shown).encode()
