"""Everything that is kept of one person: for them, and for administrators, who are recorded first."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from services.gateway.account.identity import AdminDep, KnownCallerDep
from services.gateway.account.recording import ReadingDep, ReasonQuery
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name
from services.gateway.http.requests.user_route import UserRoute
from services.gateway.privacy.export import MEDIA_TYPE, Exporting
from shared.errors import Forbidden

router = APIRouter(route_class=UserRoute)

ExportingDep = Annotated[Exporting, from_app(Exporting)]
_DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "As an attachment"}
}


@router.get(
    "/api/me/export",
    tags=["account"],
    response_class=Response,
    responses={**_DESCRIBED, **problem_responses(401, 403, 429, 503)},
)
async def export_me(exporting: ExportingDep, caller: KnownCallerDep) -> Response:
    """Send all that is kept of the caller, as a user and as the visitors they were, one row of a table a line."""
    if caller.projects is not None:
        raise Forbidden("This token sees some projects only: export with one that is not limited.")
    return exporting.of(caller.user_ids, caller)


@router.get(
    "/api/admin/users/{user_id}/export",
    tags=["admin"],
    response_class=Response,
    responses={**_DESCRIBED, **problem_responses(401, 403, 422, 429, 503)},
)
async def export_user(
    exporting: ExportingDep, admin: AdminDep, record: ReadingDep, user_id: Name, _query: Annotated[ReasonQuery, Query()]
) -> Response:
    """Send the same of a user, or of a visitor who is nobody's; recorded before anything of it is read."""
    record.require_bodies()
    owners = await exporting.owners_of(user_id)
    return exporting.of(owners, admin, partial(record.record, "export", owners))
