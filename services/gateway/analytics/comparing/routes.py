"""`GET /api/analytics/models`: models, or experiments, side by side."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.gateway.account.identity import Caller, KnownCallerDep
from services.gateway.account.limits.lanes import Lanes
from services.gateway.analytics.comparing.answers import Arms, Comparison, PairedComparison
from services.gateway.analytics.comparing.as_csv import csv_of
from services.gateway.analytics.comparing.queries import ComparisonQueries
from services.gateway.analytics.comparing.statements import Which
from services.gateway.analytics.owners import owners
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Name
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from shared.errors import Forbidden

USUAL_RANGE = timedelta(days=7)

router = APIRouter(tags=["analytics"], route_class=StrictRoute)


class ComparisonQuery(BaseModel):
    """What is compared: calls that began from `from` on and before `to`; by default of the last seven days."""

    model_config = ConfigDict(extra="forbid")

    since: Instant | None = Field(None, alias="from")
    to: Instant | None = None
    by: Arms = "model"
    models: Annotated[str, Field(min_length=1, max_length=2600)] | None = None  # names of arms, between commas
    paired: bool = False
    user_id: Name | None = None
    form: Literal["json", "csv"] = Field("json", alias="format")

    def names(self) -> list[str] | None:
        return None if self.models is None else [name.strip() for name in self.models.split(",")]


@dataclass(frozen=True)
class Comparing:
    """What the route works with."""

    queries: ComparisonQueries
    lanes: Lanes


@router.get(
    "/api/analytics/models",
    response_model=Comparison | PairedComparison,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "As an attachment"},
        **problem_responses(401, 403, 422, 429, 503),
    },
)
async def compare_models(
    comparing: Annotated[Comparing, from_app(Comparing)],
    caller: KnownCallerDep,
    query: Annotated[ComparisonQuery, Query()],
) -> Response:
    """Compare models or experiments by the calls of a time: the caller's own ones, for an administrator everybody's."""
    which = _which(caller, query)
    async with comparing.lanes.of(caller):
        found = await (_paired if query.paired else _compared)(comparing.queries, caller, which)
    if query.form == "csv":
        headers = {"Content-Disposition": 'attachment; filename="models.csv"'}
        return Response(csv_of(found), media_type="text/csv; charset=utf-8", headers=headers)
    return Response(found.model_dump_json(by_alias=True), media_type="application/json")


async def _compared(queries: ComparisonQueries, caller: Caller, which: Which) -> Comparison:
    arms = await queries.arms(which, as_admin=caller.reads_everybody)
    return Comparison(
        **{"from": which.since},
        to=which.until,
        by=which.by,
        models=[arm for arm, mixed in arms if not mixed],
        mixed=[arm for arm, mixed in arms if mixed],
    )


async def _paired(queries: ComparisonQueries, caller: Caller, which: Which) -> PairedComparison:
    if not caller.reads_everybody:
        raise Forbidden("Only administrators see what differs between users.")
    if which.names is None or len(which.names) != 2 or len(set(which.names)) != 2:
        raise refused_field("models", "must be two names, for instance `models=a,b`")
    users, differences = await queries.pairs(which)
    first, second = which.names
    return PairedComparison(
        **{"from": which.since},
        to=which.until,
        by=which.by,
        models=(first, second),
        users=users,
        differences=differences,
    )


def _which(caller: Caller, query: ComparisonQuery) -> Which:
    """Return whose calls are meant, and of which time."""
    until = query.to or datetime.now(UTC)
    since = query.since or until - USUAL_RANGE
    if since >= until:
        raise refused_field("from", "must be before `to`")
    is_everybodys = caller.reads_everybody and query.user_id is None
    user_ids = None if is_everybodys else owners(caller, query.user_id)
    return Which(since, until, query.by, query.names(), user_ids, caller.projects)
