"""Who the caller is."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.gateway.account.identity import VISITOR, Caller, KnownCallerDep, Role, known_caller, new_caller
from services.gateway.account.visitors.cookies import VisitorToken
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from shared.errors import Forbidden
from shared.settings import Settings

router = APIRouter(tags=["account"], route_class=StrictRoute)


class Me(BaseModel):
    user_id: str
    visitor_id: str | None
    role: Role
    projects: list[str] | None  # none: all of them


class Visitor(Me):
    token: str | None  # the cookie's value, good as a bearer token too; none: the caller is no visitor, nor was one


@router.get("/api/me", responses=problem_responses(401, 429))
async def get_me(caller: KnownCallerDep) -> Me:
    """Show who is calling."""
    return _shown(caller)


@router.post(
    "/api/auth/visitor",
    status_code=201,
    responses={
        200: {"model": Visitor, "description": "The caller is known already"},
        **problem_responses(401, 403, 429),
    },
)
async def become_visitor(
    settings: Annotated[Settings, from_app(Settings)], request: Request, response: Response
) -> Visitor:
    """Make the caller a visitor, whom a token shows to be the same one: for 30 days, and 30 more when it is used."""
    if not settings.visitors_allowed:
        raise Forbidden("Visitors are not allowed here.")
    known = await known_caller(request)
    caller = known or await new_caller(request)
    token: VisitorToken | None = request.scope.get(VISITOR)
    response.status_code = 201 if known is None else 200
    return Visitor(**_shown(caller).model_dump(), token=token.value if token else None)


def _shown(caller: Caller) -> Me:
    return Me(
        user_id=caller.user_id,
        visitor_id=caller.visitor_id,
        role=caller.role,
        projects=None if caller.projects is None else list(caller.projects),
    )
