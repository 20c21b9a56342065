"""What others read of a session: its title and messages as they were when it was shared, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from services.gateway.account.identity import Caller, address_of
from services.gateway.account.limits.throttle import Throttle
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.answers.sliced import SlicedResponse
from services.gateway.http.handed import from_app
from services.gateway.http.requests.cursors import read_time_cursor, write_cursor
from services.gateway.http.requests.fields import Json
from services.gateway.http.requests.pages import Page, PageQuery
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.answers import Feedback, Message
from services.gateway.sessions.messages.pages import Window, slices
from services.gateway.sessions.messages.routes import SessionMessages
from services.gateway.sessions.sharing.store import SharedSession, ShareStore
from services.gateway.turns.past.history import HistoryMessage
from shared.errors import Gone, NotFound
from shared.ids import secret_hash

# Of an answer that only whoever was given the link is to find.
NOT_FOR_ROBOTS = {"X-Robots-Tag": "noindex, nofollow", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
SHOWN = ("user", "assistant")  # roles: a system's notes tell of the trip, or are a client's instructions

router = APIRouter(tags=["shares"], route_class=StrictRoute)


class SharedMessage(BaseModel):
    id: str
    role: str
    content: str
    parts: list[Json]
    status: str
    parent_id: str | None
    created_at: datetime


class SharedPage(Page):
    title: str | None
    shared_at: datetime
    expires_at: datetime | None
    messages: list[SharedMessage]


class SharedQuery(PageQuery):
    limit: int = Field(200, ge=1, le=1000)


@dataclass(frozen=True)
class SharedSessions:
    """What the route works with."""

    store: ShareStore
    messages: SessionMessages
    throttle: Throttle


@router.get(
    "/api/shared/{token}",
    response_model=SharedPage,
    responses=problem_responses(404, 410, 422, 429, 503),
)
async def read_shared(
    shared: Annotated[SharedSessions, from_app(SharedSessions)],
    request: Request,
    token: str,
    query: Annotated[SharedQuery, Query()],
) -> Response:
    """Read a session that was shared by this link, from its first message on; nobody need be signed in."""
    address = address_of(request)
    await shared.throttle.count_call(address)
    share = await shared.store.find(secret_hash(token))
    if share is None:
        raise NotFound("There is nothing shared by this link.")
    return await answer_shared(shared.messages, share, address, query)


async def answer_shared(messages: SessionMessages, share: SharedSession, account: str, query: SharedQuery) -> Response:
    """Answer a page of what was shared; what that costs counts for who asks.

    Raises:
        Gone: The share has ended.
    """
    if share.has_ended:
        raise Gone
    # As its owner reads it, this session only.
    reader = Caller(account, None, "user", None, (share.user_id,))
    after = read_time_cursor("shared", query.cursor)
    async with messages.lanes.of(reader):
        own = await messages.own.find(reader, share.session_id)
        window = Window(after=after, before=(share.created_at, ""), oldest_first=True)
        page, has_more = await messages.conversation.page(own, window, query.limit)
    head = {
        "title": share.title,
        "shared_at": share.created_at,
        "expires_at": share.expires_at,
        "next_cursor": write_cursor("shared", *page[-1].place) if has_more else None,
        "has_more": has_more,
    }
    written = partial(messages.conversation.written, own, spell=_spelled)
    return SlicedResponse(
        messages.room,
        partial(messages.lanes.of, reader),
        ((sum(listed.size for listed in piece), partial(written, piece)) for piece in slices(page)),
        before=orjson.dumps(head)[:-1] + b',"messages":[',
        after=b"]}",
        headers=NOT_FOR_ROBOTS,
    )


def _spelled(shown: HistoryMessage, _feedback: Feedback | None) -> bytes:
    """Spell what was said by the two who spoke."""
    if shown.role not in SHOWN:
        return b""
    message = Message.of(shown)
    return (
        SharedMessage(
            id=message.id,
            role=message.role,
            content=message.content,
            parts=[_bare(part) for part in message.parts],
            status=message.status,
            parent_id=message.parent_id,
            created_at=message.created_at,
        )
        .model_dump_json()
        .encode()
    )


def _bare(part: Mapping[str, Any]) -> Json:
    """Leave out what clients and providers keep with a part."""
    return {name: value for name, value in part.items() if not name.lower().endswith("metadata")}
