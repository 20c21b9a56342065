"""For administrators: what could not be processed, and what to do about it."""

from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.gateway.account.identity import AdminDep
from services.gateway.account.recording import ReadingDep, ReasonQuery
from services.gateway.admin.dead_letters.answers import DeadLetter, Parked, WholeLetter, found, send_again, undecided
from services.gateway.admin.dead_letters.queries import DeadLetterQueries, LetterFilter
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.events import DeadLetterDropped, DeadLetterReplayed, Event
from shared.publishing.publisher import Publisher

router = APIRouter(prefix="/api/admin", tags=["admin"], route_class=StrictRoute)


@dataclass(frozen=True)
class DeadLetters:
    """What these routes work with."""

    queries: DeadLetterQueries
    publisher: Publisher
    accepting: Accepting


PAGING = Paging("dead_letters", UUID)
DeadLettersDep = Annotated[DeadLetters, from_app(DeadLetters)]


class DeadQuery(PageQuery):
    reason: Name | None = None
    state: Literal["parked", "replayed", "dropped"] | None = None
    user: Name | None = None  # whom they name
    since: Instant | None = Field(None, alias="from")  # when they came
    until: Instant | None = Field(None, alias="to")


class DeadPage(Page):
    dead_letters: list[DeadLetter]


class DeadAnswer(BaseModel):
    dead_letter: DeadLetter
    stored: bool


_DECISION = {
    202: {"model": DeadAnswer, "description": "Accepted, and not stored yet"},
    **problem_responses(401, 403, 404, 409, 422, 429, 503),
}


@router.get("/dead", responses=problem_responses(401, 403, 422, 429, 503))
async def list_dead_letters(
    letters: DeadLettersDep, _admin: AdminDep, query: Annotated[DeadQuery, Query()]
) -> DeadPage:
    """List the messages that could not be processed, the newest first, without their bodies."""
    which = LetterFilter(query.reason, query.state, query.user, query.since, query.until)
    rows = await letters.queries.page(which, query.limit + 1, PAGING.before(query))
    page, cursor = PAGING.cut(rows, query)
    return DeadPage(dead_letters=page, next_cursor=cursor)


@router.get("/dead/{dead_letter_id}", responses=problem_responses(401, 403, 404, 422, 429, 503))
async def get_dead_letter(
    letters: DeadLettersDep, reading: ReadingDep, dead_letter_id: UUID, _why: Annotated[ReasonQuery, Query()]
) -> WholeLetter:
    """Show one as it came; that it was shown is recorded."""
    parked = found(await letters.queries.find(dead_letter_id))
    if reading.shows_bodies:
        await reading.record("dead_letter", [parked.letter.user_id])
    return parked.shown(whole=reading.shows_bodies)


@router.post("/dead/{dead_letter_id}/replay", responses=_DECISION)
async def replay_dead_letter(
    letters: DeadLettersDep, admin: AdminDep, dead_letter_id: UUID, write: WriteDep, response: Response
) -> DeadAnswer:
    """Send a parked message back to the queue that it came from, as the same event."""
    parked = undecided(await letters.queries.find(dead_letter_id))
    event = DeadLetterReplayed(
        correlation_id=write.correlation_id,
        dead_letter_id=dead_letter_id,
        operator=admin.user_id,
        arrivals=parked.letter.arrivals,
    )
    require_broker(letters.publisher)
    await send_again(letters.publisher, parked)
    return await _decide(letters, parked, event, write, response)


@router.post("/dead/{dead_letter_id}/drop", responses=_DECISION)
async def drop_dead_letter(
    letters: DeadLettersDep, admin: AdminDep, dead_letter_id: UUID, write: WriteDep, response: Response
) -> DeadAnswer:
    """Decide that a parked message is not worth anything."""
    parked = undecided(await letters.queries.find(dead_letter_id))
    event = DeadLetterDropped(
        correlation_id=write.correlation_id, dead_letter_id=dead_letter_id, operator=admin.user_id
    )
    return await _decide(letters, parked, event, write, response)


async def _decide(letters: DeadLetters, parked: Parked, event: Event, write: Write, response: Response) -> DeadAnswer:
    """Publish, and wait until the decision is stored."""

    async def look() -> DeadLetter | None:
        now = await letters.queries.find(parked.letter.id)
        return now.letter if now and now.letter.state != "parked" else None

    decided = await letters.accepting.accept([event], look, write.wait_s)
    response.status_code = 200 if decided else 202
    return DeadAnswer(dead_letter=decided or parked.letter, stored=decided is not None)
