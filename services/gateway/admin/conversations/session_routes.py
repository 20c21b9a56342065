"""For administrators: the sessions of all users."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.gateway.account.recording import Reading, ReadingDep, Reason
from services.gateway.admin.conversations.session_queries import (
    EverybodysFilter,
    EverybodysSessionQueries,
    Shown,
    read_key,
)
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Json, Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.answers import Session, Snippet
from services.gateway.sessions.finding.page_keys import Key
from services.gateway.sessions.finding.snippets import snippet_parts
from services.gateway.sessions.routes import MOST_SEARCHED
from shared.search_words import Search, search_of

router = APIRouter(prefix="/api/admin/sessions", tags=["admin"], route_class=StrictRoute)

PAGING = Paging("sessions_of_all", read_key)
# What users have written, of a session.
WORDS: Json = {
    "title": None,
    "last_message": None,
    "folder": None,
    "labels": [],
    "experiment_name": None,
    "workflow_state": {},
    "metadata": {},
}


@dataclass(frozen=True)
class EverybodysSessions:
    """What this route works with."""

    queries: EverybodysSessionQueries


class Client(BaseModel):
    """From where a message came, as far as that is kept."""

    at: str  # the message's `created_at`
    address: str | None  # its /24 or /48
    user_agent: str | None


class EverybodysSession(Session):
    user_id: str
    first_client: Client | None  # of the first message of which it is known
    last_client: Client | None


class SearchQuery(PageQuery):
    """What every list of everybody's texts can be asked for."""

    user: Name | None = None
    model: Name | None = None
    tag: Name | None = None
    q: Annotated[str, Field(max_length=MOST_SEARCHED)] | None = None  # words of a title or message
    since: Instant | None = Field(None, alias="from")
    until: Instant | None = Field(None, alias="to")
    reason: Reason | None = None

    def search(self, reading: Reading) -> Search | None:
        """Return what is searched for.

        Raises:
            Forbidden: No bodies are shown: whoever asks for one word after the other would read them all the same.
            Invalid: There is no word in it.
        """
        if self.q is None:
            return None
        reading.require_bodies()
        search = search_of(self.q)
        if search is None:
            raise refused_field("q", "has no word to look for")
        return search


class EverybodysPage(Page):
    sessions: list[EverybodysSession]


@router.get("", responses=problem_responses(401, 403, 422, 429, 503))
async def list_everybodys_sessions(
    everybodys: Annotated[EverybodysSessions, from_app(EverybodysSessions)],
    reading: ReadingDep,
    query: Annotated[SearchQuery, Query()],
) -> EverybodysPage:
    """List sessions of all users, or of one, the newest activity first, as far as they are stored; it is recorded."""
    search = query.search(reading)
    wanted = EverybodysFilter(query.user, query.model, query.tag, search, query.since, query.until)
    looked = await everybodys.queries.page(wanted, query.limit + 1, PAGING.before(query))
    page, cursor = PAGING.cut(looked.rows, query, looked.reached)
    texts = await _texts(everybodys, page) if search else {}
    sessions = []
    for shown in page:
        sessions.append(_spelled(shown, reading, search, texts))
        await asyncio.sleep(0)  # to find the words in a long text takes some milliseconds
    await reading.record("sessions", [session.user_id for session in sessions])
    return EverybodysPage(sessions=sessions, next_cursor=cursor)


async def _texts(everybodys: EverybodysSessions, page: Sequence[Shown]) -> dict[Key, str]:
    said = {(shown.user_id, shown.session.id): shown.message_id for shown in page if shown.message_id is not None}
    return await everybodys.queries.texts(said) if said else {}


def _spelled(shown: Shown, reading: Reading, search: Search | None, texts: dict[Key, str]) -> EverybodysSession:
    known = vars(shown.session)
    if not reading.shows_bodies:
        known = known | WORDS
    elif search is not None:
        text = texts.get((shown.user_id, shown.session.id), "") if shown.message_id else shown.session.title or ""
        known = known | {"snippet": Snippet(message_id=shown.message_id, parts=snippet_parts(text, search))}
    return EverybodysSession(
        **known,
        user_id=shown.user_id,
        first_client=_client(shown.first_client),
        last_client=_client(shown.last_client),
    )


def _client(known: Sequence[str] | None) -> Client | None:
    if not known:
        return None
    at, address, user_agent = known
    return Client(at=at, address=address or None, user_agent=user_agent or None)
