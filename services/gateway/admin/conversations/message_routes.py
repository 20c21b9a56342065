"""For administrators: the messages of all users, flat."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.gateway.account.recording import Reading, ReadingDep
from services.gateway.admin.conversations.message_queries import EverybodysMessageQueries, MessageFilter, read_key
from services.gateway.admin.conversations.session_routes import SearchQuery
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.held.room import Room
from services.gateway.http.requests.fields import Json, SessionId
from services.gateway.http.requests.pages import Page, Paging
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from shared.events import Role

router = APIRouter(prefix="/api/admin/messages", tags=["admin"], route_class=StrictRoute)

# Cursors of the one order are none of the other.
PAGINGS = {whose: Paging(f"messages_of_{whose}", read_key) for whose in ("all", "user", "session")}


@dataclass(frozen=True)
class EverybodysMessages:
    """What this route works with."""

    queries: EverybodysMessageQueries
    room: Room  # for what is read and not sent yet


class EverybodysMessage(BaseModel):
    user_id: str
    session_id: str
    id: str
    role: str
    content: str | None  # here and below: none, or empty, where administrators read no bodies
    parts: list[Json]
    model: str | None
    status: str
    error: str | None
    parent_id: str | None
    created_at: datetime
    stored_at: datetime
    metadata: Json
    client: Json | None  # from where it came, as far as that is kept: `address`, its /24 or /48, and `user_agent`


class MessageQuery(SearchQuery):
    session_id: SessionId | None = None
    role: Role | None = None

    def wanted(self, reading: Reading) -> MessageFilter:
        """Return which messages are asked for.

        Raises:
            Forbidden: Words are searched for where no bodies are shown.
            Invalid: There is no word in what is searched for, or a session is named without its user.
        """
        if self.session_id is not None and self.user is None:
            raise refused_field("user", "must be named with session_id: two users may have sessions of one id")
        return MessageFilter(
            self.user, self.session_id, self.model, self.tag, self.role, self.search(reading), self.since, self.until
        )


class EverybodysMessagePage(Page):
    messages: list[EverybodysMessage]


@router.get("", responses=problem_responses(401, 403, 422, 429, 503))
async def list_everybodys_messages(
    everybodys: Annotated[EverybodysMessages, from_app(EverybodysMessages)],
    reading: ReadingDep,
    query: Annotated[MessageQuery, Query()],
) -> EverybodysMessagePage:
    """List messages of all users, of one, or of one session, the newest first, as far as they are stored.

    It is recorded. A page ends at about 2 MB.
    """
    wanted = query.wanted(reading)
    paging = PAGINGS[wanted.whose]
    looked = await everybodys.queries.page(wanted, query.limit + 1, paging.before(query))
    page, cursor = paging.cut(looked.rows, query, looked.reached)
    async with everybodys.room.for_bytes(sum(each.size for each in page)):
        rows = await everybodys.queries.read(page)
        messages = [_spelled(row, whole=reading.shows_bodies) for row in rows]
        await reading.record("messages", [message.user_id for message in messages])
        return EverybodysMessagePage(messages=messages, next_cursor=cursor)


def _spelled(row: dict[str, Any], *, whole: bool) -> EverybodysMessage:
    words: Json = {} if whole else {"content": None, "parts": [], "metadata": {}, "error": None}
    return EverybodysMessage(**{**row, **words})
