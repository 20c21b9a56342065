"""The messages of a session, stored or not, page by page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import Field

from services.gateway.account.identity import CallerDep
from services.gateway.account.lanes import Lanes
from services.gateway.http.cursors import Place, read_time_cursor, write_cursor
from services.gateway.http.fields import SessionId
from services.gateway.http.handed import from_app
from services.gateway.http.pages import Page, PageQuery
from services.gateway.http.problems import problem_responses
from services.gateway.http.refused_field import refused_field
from services.gateway.http.room import Room
from services.gateway.http.sliced import SlicedResponse
from services.gateway.http.strict_route import StrictRoute
from services.gateway.sessions.answers import Message
from services.gateway.sessions.message_page import (
    PAGE_BYTES,
    Listed,
    Window,
    choose_page,
    shortened,
    sized,
    slices,
    unite,
)
from services.gateway.sessions.message_queries import MessageQueries
from services.gateway.sessions.own_session import OwnSession, OwnSessions
from services.gateway.turns.history import merge_history
from services.gateway.turns.readings import NEWEST, TurnReadings
from services.gateway.turns.said import Glimpse

# A page needs one message more than it shows; and of the turns read for it some may have only their edges in it.
EDGES = 8

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


@dataclass(frozen=True)
class SessionMessages:
    """What these routes work with."""

    own: OwnSessions
    turns: TurnReadings
    queries: MessageQueries
    room: Room  # for what is read and not sent yet
    lanes: Lanes


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


@router.get(
    "/api/chat/sessions/{session_id}/messages",
    response_model=MessagePage,
    responses=problem_responses(401, 404, 422, 429, 503),
)
async def list_messages(
    messages: Annotated[SessionMessages, from_app(SessionMessages)],
    caller: CallerDep,
    session_id: SessionId,
    query: Annotated[MessageQuery, Query()],
) -> Response:
    """List a session's messages; what is not stored yet says `stored: false`. A page ends at about 8 MB."""
    async with messages.lanes.of(caller):
        own = await messages.own.find(caller, session_id)
        window = await _window(messages, own, query)
        page, has_more = await _page(messages, own, window, query.limit)
    ordered = page if query.order == "asc" else page[::-1]
    ends = {"next_cursor": _cursor_after(page, window) if has_more else None, "has_more": has_more}
    return SlicedResponse(
        messages.room,
        partial(messages.lanes.of, caller),
        ((sum(listed.size for listed in piece), partial(_written, messages, own, piece)) for piece in slices(ordered)),
        before=orjson.dumps(ends)[:-1] + b',"messages":[',
        after=b"]}",
    )


async def _page(messages: SessionMessages, own: OwnSession, window: Window, limit: int) -> tuple[list[Listed], bool]:
    """Choose the messages of the page, and tell whether there are more."""
    turns = await _turns(messages, own, window, limit + EDGES)  # before what is stored: see history.py
    stored = await messages.queries.listed(own.user_id, own.facts.session_id, window, limit + 1)
    said_by = ((said, turn.turn_id) for turn in turns for said in turn.said())
    unstored = [Listed(said.message_id, said.created_at, turn_id=turn_id) for said, turn_id in said_by]
    page, has_more = choose_page(unite(unstored, stored), window, limit)
    from_its_end = page if window.oldest_first else page[::-1]
    speaking = list(dict.fromkeys(listed.turn_id for listed in from_its_end if listed.turn_id is not None))
    sizes = await messages.turns.sizes(speaking, PAGE_BYTES) if speaking else {}
    page, is_shorter = shortened(sized(page, sizes), window)
    return page, has_more or is_shorter


async def _written(messages: SessionMessages, own: OwnSession, piece: Sequence[Listed]) -> bytes:
    """Read messages, and write them as JSON with commas between; one that has gone meanwhile is left out."""
    speaking = list({listed.turn_id for listed in piece if listed.turn_id is not None})
    ids = [listed.message_id for listed in piece]  # those of turns too: they may be stored by now
    turns = await messages.turns.whole(speaking) if speaking else []
    stored = await messages.queries.whole(own.user_id, own.facts.session_id, ids)
    by_id = {shown.message_id: shown for shown in merge_history(stored, turns)}
    return b",".join(Message.of(by_id[each]).model_dump_json().encode() for each in ids if each in by_id)


async def _turns(messages: SessionMessages, own: OwnSession, window: Window, limit: int) -> Sequence[Glimpse]:
    """Return the turns that the page may show; of a long session those that were read already may be too new for it."""
    if len(own.turns) < NEWEST:
        return own.turns
    after, before = (place and place[0] for place in (window.after, window.before))
    turns = await messages.turns.said_between(
        own.user_id, own.facts.session_id, after, before, limit, oldest_first=window.oldest_first
    )
    return own.facts.kept(turns)


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
    session = own.user_id, own.facts.session_id
    place = _place_in(own.turns, message_id) or await messages.queries.place_of(*session, message_id)
    if place is None and len(own.turns) >= NEWEST:
        place = _place_in(await messages.turns.saying(*session, message_id), message_id)
    if place is None:
        raise refused_field(field, "names no message of this session")
    return place


def _place_in(turns: Iterable[Glimpse], message_id: str) -> Place | None:
    told = (said for turn in turns for said in turn.said())
    return next((said.place for said in told if said.message_id == message_id), None)
