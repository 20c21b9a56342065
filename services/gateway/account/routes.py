"""Who the caller is."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.gateway.account.identity import Caller, KnownCallerDep, Role, caller_of
from services.gateway.http.edge import NEW_COOKIE
from services.gateway.http.handed import from_app
from services.gateway.http.problems import problem_responses
from services.gateway.http.strict_route import StrictRoute
from shared.errors import Forbidden
from shared.settings import Settings

router = APIRouter(tags=["account"], route_class=StrictRoute)


class Me(BaseModel):
    user_id: str
    visitor_id: str | None
    role: Role
    projects: list[str] | None  # none: all of them


@router.get("/api/me", responses=problem_responses(401, 429))
async def get_me(caller: KnownCallerDep) -> Me:
    """Show who is calling."""
    return _shown(caller)


@router.post(
    "/api/auth/visitor",
    status_code=201,
    responses={200: {"model": Me, "description": "The caller is known already"}, **problem_responses(401, 403, 429)},
)
async def become_visitor(settings: Annotated[Settings, from_app(Settings)], request: Request, response: Response) -> Me:
    """Make the caller a visitor, whom the cookie will show to be the same one for a year."""
    if not settings.visitors_allowed:
        raise Forbidden("Visitors are not allowed here.")
    caller = await caller_of(request)
    response.status_code = 201 if NEW_COOKIE in request.scope else 200
    return _shown(caller)


def _shown(caller: Caller) -> Me:
    return Me(
        user_id=caller.user_id,
        visitor_id=caller.visitor_id,
        role=caller.role,
        projects=None if caller.projects is None else list(caller.projects),
    )
