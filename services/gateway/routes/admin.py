"""For administrators: what could not be processed, and what to do about it."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from services.gateway.cursors import cut_page, read_time_cursor
from services.gateway.dead_letter import DeadLetter, Parked, send_again, undecided
from services.gateway.identity import AdminDep
from services.gateway.parts import Parts, PartsDep
from services.gateway.problems import problem_responses
from services.gateway.schemas import Name, Page, PageQuery
from services.gateway.strict_route import StrictRoute
from services.gateway.write_headers import Write, WriteDep
from shared.events import DeadLetterDropped, DeadLetterReplayed, Event

router = APIRouter(prefix="/api/admin", tags=["admin"], route_class=StrictRoute)


class DeadQuery(PageQuery):
    reason: Name | None = None
    state: Literal["parked", "replayed", "dropped"] | None = None


class DeadPage(Page):
    dead_letters: list[DeadLetter]


class DeadAnswer(BaseModel):
    dead_letter: DeadLetter
    stored: bool


_DECISION = {
    202: {"model": DeadAnswer, "description": "Accepted, and not stored yet"},
    **problem_responses(401, 403, 404, 409, 422, 503),
}


@router.get("/dead", responses=problem_responses(401, 403, 422, 503))
async def list_dead_letters(parts: PartsDep, _admin: AdminDep, query: Annotated[DeadQuery, Query()]) -> DeadPage:
    """List the messages that could not be processed, the newest first, without their bodies."""
    before = read_time_cursor("dead_letters", query.cursor, UUID)
    rows = await parts.admin.dead_letters.page(
        reason=query.reason, state=query.state, limit=query.limit + 1, before=before
    )
    page, cursor = cut_page("dead_letters", rows, query.limit)
    return DeadPage(dead_letters=page, next_cursor=cursor, has_more=cursor is not None)


@router.post("/dead/{dead_letter_id}/replay", responses=_DECISION)
async def replay_dead_letter(
    parts: PartsDep, admin: AdminDep, dead_letter_id: UUID, write: WriteDep, response: Response
) -> DeadAnswer:
    """Send a parked message back to the queue that it came from, as the same event."""
    parked = undecided(await parts.admin.dead_letters.find(dead_letter_id))
    event = DeadLetterReplayed(
        correlation_id=write.correlation_id,
        dead_letter_id=dead_letter_id,
        operator=admin.user_id,
        arrivals=parked.letter.arrivals,
    )
    await send_again(parts.publisher, parked)
    return await _decide(parts, parked, event, write, response)


@router.post("/dead/{dead_letter_id}/drop", responses=_DECISION)
async def drop_dead_letter(
    parts: PartsDep, admin: AdminDep, dead_letter_id: UUID, write: WriteDep, response: Response
) -> DeadAnswer:
    """Decide that a parked message is not worth anything."""
    parked = undecided(await parts.admin.dead_letters.find(dead_letter_id))
    event = DeadLetterDropped(
        correlation_id=write.correlation_id, dead_letter_id=dead_letter_id, operator=admin.user_id
    )
    return await _decide(parts, parked, event, write, response)


async def _decide(parts: Parts, parked: Parked, event: Event, write: Write, response: Response) -> DeadAnswer:
    """Publish, and wait until the decision is stored."""

    async def look() -> DeadLetter | None:
        found = await parts.admin.dead_letters.find(parked.letter.id)
        return found.letter if found and found.letter.state != "parked" else None

    with parts.receipts.expecting(event.event_id) as receipt:
        await parts.publisher.publish(event)
        decided = await receipt.until(look, write.wait_s)
    response.status_code = 200 if decided else 202
    return DeadAnswer(dead_letter=decided or parked.letter, stored=decided is not None)
