"""Is it up, and can it work."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from pydantic import BaseModel

from services.gateway.http.requests.strict_route import StrictRoute
from shared.process.condition import Condition

Ask = Callable[[], Awaitable[Condition]]


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    status: str
    away: list[str]  # what keeps it from its job; why is on the internal address
    degraded: list[str]  # what it does without for now, having been ready with it


def operations(ask: Ask) -> APIRouter:
    """Make the routes."""
    router = APIRouter(tags=["operations"], route_class=StrictRoute)

    @router.head("/healthz", include_in_schema=False)  # as some load balancers ask
    @router.get("/healthz")
    async def healthz() -> Health:
        """Say that the process is up."""
        return Health(status="up")

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", responses={503: {"model": Readiness, "description": "It can't do its job"}})
    async def readyz(response: Response) -> Readiness:
        """Say whether it can do its job."""
        condition = await ask()
        response.status_code = 503 if condition.faults else 200
        return Readiness(status=condition.status, away=sorted(condition.faults), degraded=sorted(condition.degraded))

    return router
