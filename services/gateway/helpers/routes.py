"""Which helpers there are."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.gateway.account.identity import CallerDep
from services.gateway.helpers.configured import Helper, Helpers
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.pages import Page, PageQuery
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute

router = APIRouter(tags=["helpers"], route_class=StrictRoute)


class HelperAnswer(BaseModel):
    """What frontends need; its instructions and parameters are nobody's but the model's."""

    id: str
    name: str
    description: str
    model: str | None  # none: the session's, or the default one
    opening_message: str | None
    starter_questions: list[str]

    @classmethod
    def of(cls, helper: Helper) -> Self:
        shown = helper.table.model_dump(include=cls.model_fields.keys() - {"id"})
        return cls(id=helper.id, **shown)


class HelperPage(Page):
    helpers: list[HelperAnswer]


@router.get("/api/helpers", responses=problem_responses(401, 422, 429, 503))
async def list_helpers(
    helpers: Annotated[Helpers, from_app(Helpers)], _caller: CallerDep, query: Annotated[PageQuery, Query()]
) -> HelperPage:
    """List the configured helpers, in the order of their file."""
    ids = [helper.id for helper in helpers.all]
    if query.cursor is not None and query.cursor not in ids:
        raise refused_field("cursor", "is none of this list")
    begin = ids.index(query.cursor) if query.cursor is not None else 0
    end = begin + query.limit
    page = [HelperAnswer.of(helper) for helper in helpers.all[begin:end]]
    return HelperPage(helpers=page, next_cursor=ids[end] if end < len(ids) else None)
