"""For administrators: what outside systems posted, what became of it, and having it worked again."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.gateway.account.identity import AdminDep
from services.gateway.account.recording import ReadingDep, ReasonQuery
from services.gateway.admin.deliveries.answers import Delivery, State, WholeDelivery
from services.gateway.admin.deliveries.queries import DeliveryFilter, DeliveryQueries
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import WriteDep
from services.gateway.writes.accept import Accepting
from shared.errors import NotFound
from shared.events import DeliveryReprocessed

router = APIRouter(prefix="/api/admin/deliveries", tags=["admin"], route_class=StrictRoute)


@dataclass(frozen=True)
class Deliveries:
    """What these routes work with."""

    queries: DeliveryQueries
    accepting: Accepting


PAGING = Paging("deliveries", UUID)
DeliveriesDep = Annotated[Deliveries, from_app(Deliveries)]


class DeliveryQuery(PageQuery):
    source: Name | None = None
    state: State | None = None
    event: Name | None = None
    trip: Name | None = None
    since: Instant | None = Field(None, alias="from")
    until: Instant | None = Field(None, alias="to")


class DeliveryPage(Page):
    deliveries: list[Delivery]


class DeliveryAnswer(BaseModel):
    delivery: Delivery
    stored: bool


@router.get("", responses=problem_responses(401, 403, 422, 429, 503))
async def list_deliveries(
    deliveries: DeliveriesDep, _admin: AdminDep, query: Annotated[DeliveryQuery, Query()]
) -> DeliveryPage:
    """List what was posted, the newest first, without bodies."""
    which = DeliveryFilter(query.source, query.state, query.event, query.trip, query.since, query.until)
    rows = await deliveries.queries.page(which, limit=query.limit + 1, before=PAGING.before(query))
    page, cursor = PAGING.cut(rows, query)
    return DeliveryPage(deliveries=page, next_cursor=cursor)


@router.get("/{delivery_id}", responses=problem_responses(401, 403, 404, 422, 429, 503))
async def get_delivery(
    deliveries: DeliveriesDep, reading: ReadingDep, delivery_id: UUID, _why: Annotated[ReasonQuery, Query()]
) -> WholeDelivery:
    """Show one as it came, and why it is not done where it is not; that it was shown is recorded."""
    delivery = await _found(deliveries, delivery_id)
    if not reading.shows_bodies:
        return delivery.without_body()
    await reading.record("delivery", [None])
    return delivery


@router.post(
    "/{delivery_id}/reprocess",
    responses={
        202: {"model": DeliveryAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(401, 403, 404, 422, 429, 503),
    },
)
async def reprocess_delivery(
    deliveries: DeliveriesDep, admin: AdminDep, delivery_id: UUID, write: WriteDep, response: Response
) -> DeliveryAnswer:
    """Have one read and worked again from the beginning, whatever became of it; that is recorded."""
    delivery = await _found(deliveries, delivery_id)
    event = DeliveryReprocessed(correlation_id=write.correlation_id, delivery_id=delivery_id, operator=admin.user_id)

    async def look() -> Delivery | None:
        now = await deliveries.queries.find(delivery_id)
        return now if now is not None and now.reprocessed_at == event.occurred_at else None

    worked = await deliveries.accepting.accept([event], look, write.wait_s)
    response.status_code = 200 if worked else 202
    return DeliveryAnswer(delivery=Delivery(**dict(worked or delivery)), stored=worked is not None)


async def _found(deliveries: Deliveries, delivery_id: UUID) -> WholeDelivery:
    found = await deliveries.queries.find(delivery_id)
    if found is None:
        raise NotFound("There is no such delivery.")
    return found
