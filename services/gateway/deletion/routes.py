"""Erase all that a user has, and see how far that has come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from services.gateway.account.identity import KnownCallerDep
from services.gateway.deletion.deleting import Deleting
from services.gateway.deletion.state import ErasureStates
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import WriteDep
from shared.errors import Forbidden

router = APIRouter(tags=["account"], route_class=StrictRoute)


@dataclass(frozen=True)
class Erasing:
    """What these routes work with."""

    deleting: Deleting
    states: ErasureStates


ErasingDep = Annotated[Erasing, from_app(Erasing)]


class MyData(BaseModel):
    """What has become of the last erasure: `pending` while something older may be left anywhere."""

    status: Literal["none", "pending", "done"]
    erased_at: datetime | None
    services: dict[str, bool]  # of each whether nothing older is left there


@router.get("/api/me/data", responses=problem_responses(401, 429, 503))
async def get_my_data(erasing: ErasingDep, caller: KnownCallerDep) -> MyData:
    """Show how far the erasure of the caller's data has come."""
    return MyData(**vars(await erasing.states.of(caller.user_ids)))


@router.delete("/api/me/data", status_code=202, responses=problem_responses(401, 403, 422, 429, 503))
async def erase_my_data(erasing: ErasingDep, caller: KnownCallerDep, write: WriteDep) -> MyData:
    """Erase all that the caller has here until now, as a user and as the visitor they were; hidden it is at once."""
    if caller.projects is not None:
        raise Forbidden(
            "This token sees some projects only: erase with one that is not limited, or delete its sessions."
        )
    await erasing.deleting.erase(caller.user_ids, write)
    return MyData(**vars(await erasing.states.of(caller.user_ids)))
