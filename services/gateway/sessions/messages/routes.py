"""The messages of a session, stored or not, page by page."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.answers.sliced import SlicedResponse
from services.gateway.http.handed import from_app
from services.gateway.http.held.room import Room
from services.gateway.http.requests.cursors import Place, read_time_cursor, write_cursor
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.pages import ALL, CursorQuery, OrAll, Page, limit_schema
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.answers import Feedback, Message
from services.gateway.sessions.messages.conversation import LONGEST_PAGE, Conversation, Shown
from services.gateway.sessions.messages.pages import Listed, Window, slices
from services.gateway.sessions.own_session import OwnSession, OwnSessions
from services.gateway.turns.past.history import HistoryMessage

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@dataclass(frozen=True)
class SessionMessages:
    """What these routes work with."""

    own: OwnSessions
    conversation: Conversation
    room: Room  # for what is read and not sent yet
    lanes: Lanes


SessionMessagesDep = Annotated[SessionMessages, from_app(SessionMessages)]
MessageLimit = Annotated[int, Field(ge=1, le=LONGEST_PAGE), OrAll, limit_schema(LONGEST_PAGE)]


class MessageQuery(CursorQuery):
    """Which page: without anything the newest; `before` and `after` are message ids.

    A cursor's page is older, or newer after `after`.
    """

    limit: MessageLimit = 200
    before: SessionId | None = None
    after: SessionId | None = None
    order: Literal["asc", "desc"] = "asc"  # only of the messages on the page


class MessagePage(Page):
    messages: list[Message]


@router.get(
    "/api/chat/sessions/{session_id}/messages",
    response_model=MessagePage,
    responses=problem_responses(401, 404, 422, 429, 503),
)
async def list_messages(
    messages: SessionMessagesDep, caller: CallerDep, session_id: SessionId, query: Annotated[MessageQuery, Query()]
) -> Response:
    """List a session's messages; what is not stored yet says `stored: false`.

    A page ends at about 8 MB; `limit=all` is up to 5,000 messages, and 64 MB.
    """
    return await answer_messages(messages, caller, session_id, query, spelled)


async def answer_messages(
    messages: SessionMessages, caller: Caller, session_id: str, query: MessageQuery, spell: Shown
) -> Response:
    """Answer a page of the caller's session, or all of it, with each message spelled so.

    Raises:
        NotFound: There is no such session of theirs.
    """
    lane = partial(messages.lanes.of, caller)
    async with lane():
        own = await messages.own.find(caller, session_id)
        window = await _window(messages, own, query)
        if query.limit != ALL:
            page, has_more = await messages.conversation.page(own, window, query.limit)
    if query.limit == ALL:
        page, has_more = await messages.conversation.whole(own, window, lane)
    ordered = page if query.order == "asc" else page[::-1]
    ends = {"next_cursor": _cursor_after(page, window) if has_more else None, "has_more": has_more}
    return SlicedResponse(
        messages.room,
        lane,
        (
            (sum(listed.size for listed in piece), partial(messages.conversation.written, own, piece, spell))
            for piece in slices(ordered)
        ),
        before=orjson.dumps(ends)[:-1] + b',"messages":[',
        after=b"]}",
    )


def _cursor_after(page: list[Listed], window: Window) -> str:
    """Name the place where the next page begins: older messages, or newer ones where the caller reads forward."""
    return write_cursor("newer", *page[-1].place) if window.oldest_first else write_cursor("older", *page[0].place)


async def _window(messages: SessionMessages, own: OwnSession, query: MessageQuery) -> Window:
    after = await _place_of(messages, own, "after", query.after)
    before = await _place_of(messages, own, "before", query.before)
    reads_forward = query.after is not None
    if query.cursor is not None:
        at = read_time_cursor("newer" if reads_forward else "older", query.cursor)
        after, before = (at, before) if reads_forward else (after, at)
    return Window(after, before, oldest_first=reads_forward)


async def _place_of(messages: SessionMessages, own: OwnSession, field: str, message_id: str | None) -> Place | None:
    if message_id is None:
        return None
    place = await messages.conversation.place_of(own, message_id)
    if place is None:
        raise refused_field(field, "names no message of this session")
    return place


def spelled(shown: HistoryMessage, feedback: Feedback | None) -> bytes:
    """Spell a message as JSON."""
    return Message.of(shown, feedback).model_dump_json().encode()
