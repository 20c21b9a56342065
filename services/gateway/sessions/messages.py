"""The messages of a session, stored or not, page by page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.gateway.account.identity import CallerDep
from services.gateway.http.cursors import Place, read_time_cursor, write_cursor
from services.gateway.http.fields import SessionId
from services.gateway.http.handed import from_app
from services.gateway.http.pages import Page, PageQuery
from services.gateway.http.problems import problem_responses
from services.gateway.http.refused_field import refused_field
from services.gateway.http.strict_route import StrictRoute
from services.gateway.sessions.answers import Message
from services.gateway.sessions.message_queries import MessageQueries, Window
from services.gateway.sessions.own_session import OwnSession, OwnSessions
from services.gateway.turns.history import HistoryMessage, merge_history, shown_of
from services.gateway.turns.store import NEWEST
from services.gateway.turns.turn import Turn
from services.gateway.turns.windows import TurnWindows

# A page needs one message more than it shows; and of the turns read for it some may have only their edges in it.
EDGES = 8

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@dataclass(frozen=True)
class SessionMessages:
    """What these routes work with."""

    own: OwnSessions
    turns: TurnWindows
    queries: MessageQueries


class MessageQuery(PageQuery):
    """Which page: without anything the newest; `before` and `after` are message ids.

    A cursor's page is older, or newer after `after`.
    """

    limit: int = Field(200, ge=1, le=1000)
    before: SessionId | None = None
    after: SessionId | None = None
    order: Literal["asc", "desc"] = "asc"  # only of the messages on the page


class MessagePage(Page):
    messages: list[Message]


@router.get("/api/chat/sessions/{session_id}/messages", responses=problem_responses(401, 404, 422, 429, 503))
async def list_messages(
    messages: Annotated[SessionMessages, from_app(SessionMessages)],
    caller: CallerDep,
    session_id: SessionId,
    query: Annotated[MessageQuery, Query()],
) -> MessagePage:
    """List a session's messages; what is not stored yet says `stored: false`."""
    own = await messages.own.find(caller, session_id)
    window = await _window(messages, own, query)
    turns = await _turns(messages, own, window, query.limit + EDGES)  # before what is stored: see history.py
    stored = await messages.queries.page(own.user_id, session_id, window, query.limit + 1)
    page, has_more = choose_page(merge_history(stored, turns), window, query.limit)
    cursor = _cursor_after(page, window) if has_more else None
    ordered = page if query.order == "asc" else list(reversed(page))
    return MessagePage(messages=[Message.of(shown) for shown in ordered], next_cursor=cursor)


async def _turns(messages: SessionMessages, own: OwnSession, window: Window, limit: int) -> Sequence[Turn]:
    """Return the turns that the page may show; of a long session those that were read already may be too new for it."""
    if len(own.turns) < NEWEST:
        return own.turns
    after, before = (place and place[0] for place in (window.after, window.before))
    return await messages.turns.said_between(
        own.user_id, own.facts.session_id, after, before, limit, oldest_first=window.oldest_first
    )


def choose_page(history: list[HistoryMessage], window: Window, limit: int) -> tuple[list[HistoryMessage], bool]:
    """Choose from what was said, in order, the page that begins at the window's end, and tell whether there is more.

    Args:
        history: Every message that is not stored, and of the stored ones in the window `limit` + 1 from the end that
            the page is read from.
        window: Where the page is.
        limit: The most that may be on the page.
    """
    inside = [shown for shown in history if window.holds(shown.place)]
    page = inside[:limit] if window.oldest_first else inside[-limit:]
    return page, len(inside) > limit


def _cursor_after(page: list[HistoryMessage], window: Window) -> str:
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
    session = own.user_id, own.facts.session_id
    place = _place_in(own.turns, message_id) or await messages.queries.place_of(*session, message_id)
    if place is None and len(own.turns) >= NEWEST:
        place = _place_in(await messages.turns.saying(*session, message_id), message_id)
    if place is None:
        raise refused_field(field, "names no message of this session")
    return place


def _place_in(turns: Iterable[Turn], message_id: str) -> Place | None:
    said = (shown for turn in turns for shown in shown_of(turn))
    return next((shown.place for shown in said if shown.message_id == message_id), None)
