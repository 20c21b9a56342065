"""Is it up, can it work, and what goes between the services."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html
from faststream.specification.asyncapi import get_asyncapi_html
from pydantic import BaseModel

from services.gateway.http.event_document import event_document
from services.gateway.http.strict_route import StrictRoute

# The two pages bring their scripts from these, and draw with styles of their own.
PAGE_POLICY = (
    "default-src 'self'; script-src 'unsafe-inline' https://cdn.jsdelivr.net https://unpkg.com; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://unpkg.com; "
    "img-src 'self' data: https://fastapi.tiangolo.com; frame-ancestors 'none'"
)

Faults = Callable[[], Awaitable[Mapping[str, str]]]  # what keeps this gateway from its job; empty when ready


class Health(BaseModel):
    status: str


class Readiness(BaseModel):
    status: str
    away: list[str]  # what keeps it from its job; why is on the internal address


def operations(faults: Faults) -> APIRouter:
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
        away = sorted(await faults())
        response.status_code = 503 if away else 200
        return Readiness(status="not ready" if away else "ready", away=away)

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = get_swagger_ui_html(openapi_url="/openapi.json", title="Tripthread API")
        page.headers["Content-Security-Policy"] = PAGE_POLICY
        return page

    @router.get("/docs/events", include_in_schema=False)
    async def event_docs() -> Response:
        page = get_asyncapi_html(event_document(), try_it_out_path=None)
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})

    @router.get("/docs/events.json", include_in_schema=False)
    async def events() -> Response:
        return Response(event_document().to_json(), media_type="application/json")

    return router
