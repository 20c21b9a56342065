"""For administrators: what waits in which queue, for how long at most, who reads it, and how that was lately."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from services.gateway.account.identity import AdminDep
from services.gateway.admin.queues.history import Minute, QueueHistory
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.pages import Page
from services.gateway.http.requests.strict_route import StrictRoute
from shared.consuming.queue_census import count_queue
from shared.publishing.publisher import Publisher
from shared.topology import QUEUES

router = APIRouter(prefix="/api/admin/queues", tags=["admin"], route_class=StrictRoute)


@dataclass(frozen=True)
class QueueViews:
    """What this route works with."""

    publisher: Publisher
    history: QueueHistory


class QueueMinute(BaseModel):
    at: datetime
    messages: int  # the most that were seen waiting
    consumers: int  # the fewest that were seen


class QueueView(BaseModel):
    name: str
    service: str  # whose it is
    messages: int | None  # that wait now, delivered ones not counted; none: the broker did not tell
    consumers: int | None
    oldest_age_s: float | None  # of the oldest that waits, at most; none: nothing waits, or nobody knows
    history: list[QueueMinute]  # of the last hour, the oldest first


class QueueViewPage(Page):
    queues: list[QueueView]


class NoQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")


@router.get("", responses=problem_responses(401, 403, 422, 429, 503))
async def list_queues(
    views: Annotated[QueueViews, from_app(QueueViews)], _admin: AdminDep, _query: Annotated[NoQuery, Query()]
) -> QueueViewPage:
    """Show every queue; it shows nothing of what is in them."""
    names = [queue.name for queue in QUEUES]
    counts = await asyncio.gather(*(count_queue(views.publisher, name) for name in names))
    at, minutes = await views.history.read()
    return QueueViewPage(
        queues=[
            _view(name, queue.reader, count, [each for each in minutes if each.queue == name], at)
            for queue, name, count in zip(QUEUES, names, counts, strict=True)
        ]
    )


def _view(name: str, service: str, count: tuple[float, float], past: Sequence[Minute], at: datetime) -> QueueView:
    messages, consumers = (None if isnan(each) else int(each) for each in count)
    emptied_at = past[-1].emptied_at if past else None
    age_s = None if not messages or emptied_at is None else max(0.0, (at - emptied_at).total_seconds())
    return QueueView(
        name=name,
        service=service,
        messages=messages,
        consumers=consumers,
        oldest_age_s=age_s,
        history=[QueueMinute(at=each.minute, messages=each.messages, consumers=each.consumers) for each in past],
    )
