"""For administrators: how much one user may do a day, and in all."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt

from services.gateway.account.identity import AdminDep
from services.gateway.account.limits.counting import Counting
from services.gateway.account.limits.quota import Quota
from services.gateway.account.limits.quota_store import QuotaStore
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name, whole
from services.gateway.http.requests.user_route import UserRoute

router = APIRouter(prefix="/api/admin/users", tags=["admin"], route_class=UserRoute)

MOST = 2**31 - 1
MOST_TOKENS = 2**53 - 1  # that every client can read

log = structlog.get_logger(__name__)

Number = Annotated[StrictInt, Field(ge=0, le=MOST), BeforeValidator(whole)]  # in this order OpenAPI hears of both


class QuotaFields(BaseModel):
    """Of each kind how many there may be; 0 is none at all."""

    model_config = ConfigDict(extra="forbid")

    turns_per_day: Number | None = None
    tokens_per_day: Annotated[StrictInt, Field(ge=0, le=MOST_TOKENS), BeforeValidator(whole)] | None = None
    sessions_per_day: Number | None = None
    sessions_in_all: Number | None = None


class UserChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quota: QuotaFields  # what is left out stays; null goes back to the default


class Day(BaseModel):
    """What a user has done on one day of UTC's."""

    day: date
    turns: int
    input_tokens: int
    output_tokens: int
    sessions: int  # that were begun
    refused: int  # calls past a limit of whichever kind


class UserLimits(BaseModel):
    user_id: str
    quota: QuotaFields  # what was said of this user
    limits: QuotaFields  # what counts; null: as many as they like
    today: Day


class UserAnswer(BaseModel):
    user: UserLimits


@dataclass(frozen=True)
class UserQuotas:
    """What this route works with."""

    store: QuotaStore
    counting: Counting


@router.patch("/{user_id}", responses=problem_responses(400, 401, 403, 413, 415, 422, 429, 503))
async def change_user(
    quotas: Annotated[UserQuotas, from_app(UserQuotas)], admin: AdminDep, user_id: Name, body: UserChange
) -> UserAnswer:
    """Say how much one user may do, whom nobody need have seen yet; it counts at every gateway within seconds."""
    changes = body.quota.model_dump(exclude_unset=True)
    quota = await quotas.store.set(user_id, changes)
    quotas.counting.heard(user_id, quota)
    log.info("quota of a user changed", user_id=user_id, operator=admin.user_id, **changes)
    today = await quotas.store.today(user_id)
    limits = quotas.counting.limits_of(user_id)
    return UserAnswer(
        user=UserLimits(user_id=user_id, quota=_fields(quota), limits=_fields(limits), today=Day(**vars(today)))
    )


def _fields(quota: Quota) -> QuotaFields:
    return QuotaFields(**vars(quota))
