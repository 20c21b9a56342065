"""For administrators: who of them has read whose texts, and why."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from services.gateway.account.identity import AdminDep
from services.gateway.admin.conversations.read_queries import Read, ReadFilter, ReadQueries
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute

router = APIRouter(prefix="/api/admin/reads", tags=["admin"], route_class=StrictRoute)


@dataclass(frozen=True)
class Reads:
    """What this route works with."""

    queries: ReadQueries


PAGING = Paging("reads", UUID)


class ReadQuery(PageQuery):
    user: Name | None = None
    operator: Name | None = None
    since: Instant | None = Field(None, alias="from")
    until: Instant | None = Field(None, alias="to")


class ReadPage(Page):
    reads: list[Read]


@router.get("", responses=problem_responses(401, 403, 422, 429, 503))
async def list_reads(
    reads: Annotated[Reads, from_app(Reads)], _admin: AdminDep, query: Annotated[ReadQuery, Query()]
) -> ReadPage:
    """List what administrators were shown of others, the newest first: one record for each owner on a page."""
    which = ReadFilter(query.user, query.operator, query.since, query.until)
    rows = await reads.queries.page(which, limit=query.limit + 1, before=PAGING.before(query))
    page, cursor = PAGING.cut(rows, query)
    return ReadPage(reads=page, next_cursor=cursor)
