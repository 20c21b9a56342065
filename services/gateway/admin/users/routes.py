"""For administrators: who there is, and erasing one of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Query
from pydantic import Field

from services.gateway.account.identity import AdminDep
from services.gateway.account.limits.quota import quota_of_users
from services.gateway.admin.conversations.session_queries import read_key
from services.gateway.admin.users.queries import User, UserQueries
from services.gateway.admin.users.quota_routes import Day, QuotaFields, UserLimits
from services.gateway.admin.users.refused_users import RefusedUserQueries
from services.gateway.admin.users.refused_users import read_key as read_refused
from services.gateway.deletion.routes import ErasingDep, MyData
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Instant, Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.user_route import UserRoute
from services.gateway.http.write_headers import WriteDep
from shared.ids import user_hash
from shared.settings import Settings

router = APIRouter(prefix="/api/admin/users", tags=["admin"], route_class=UserRoute)

PAGING = Paging("users", read_key)
REFUSED = Paging("refused_users", read_refused)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Users:
    """What these routes work with."""

    settings: Settings
    queries: UserQueries
    refused: RefusedUserQueries


class UserQuery(PageQuery):
    user: Name | None = None  # that one alone, also where nothing of them is stored
    since: Instant | None = Field(None, alias="from")  # of their last activity
    until: Instant | None = Field(None, alias="to")
    refused: bool = False  # those alone whose calls were refused today, those of whom most were first


class UserRow(UserLimits):
    last_activity_at: datetime | None  # of their sessions; none: they have none
    linked_to: str | None  # of a visitor who has signed in: whose they are
    visitors: list[str]  # whom they were before they signed in
    running_turns: int  # up to 100


class UserPage(Page):
    users: list[UserRow]


@router.get("", responses=problem_responses(401, 403, 422, 429, 503))
async def list_users(
    users: Annotated[Users, from_app(Users)], _admin: AdminDep, query: Annotated[UserQuery, Query()]
) -> UserPage:
    """List whose sessions are stored, those who were active last first; it shows nothing of what they said."""
    if query.refused:
        return await _refused(users, query)
    before = PAGING.before(query)
    if query.user is not None:
        found = await users.queries.find(query.user)
        return UserPage(users=[_row(users, found)] if found and _was_active(found, query) else [])
    looked = await users.queries.page(query.limit + 1, before, query.since, query.until)
    page, cursor = PAGING.cut(looked.rows, query, looked.reached)
    return UserPage(users=[_row(users, user) for user in page], next_cursor=cursor)


@router.post("/{user_id}/erase", status_code=202, responses=problem_responses(401, 403, 422, 429, 503))
async def erase_user(erasing: ErasingDep, admin: AdminDep, user_id: Name, write: WriteDep) -> MyData:
    """Erase all that a user has here until now, as if they had asked for it; who did that is kept."""
    erasures = await erasing.deleting.erase([user_id], write, operator=admin.user_id)
    log.info("user erased by an administrator", operator=admin.user_id, user_hash=user_hash(user_id).hex())
    return MyData(**vars(await erasing.states.of([erasure.user_id for erasure in erasures])))


async def _refused(users: Users, query: UserQuery) -> UserPage:
    if (query.user, query.since, query.until) != (None, None, None):
        raise refused_field("refused", "goes with no other filter")
    rows = await users.refused.page(query.limit + 1, REFUSED.before(query))
    page, cursor = REFUSED.cut(rows, query)
    return UserPage(users=[_row(users, user) for user in page], next_cursor=cursor)


def _was_active(user: User, query: UserQuery) -> bool:
    """Tell whether they were active last when it is asked for; who never was, at no time."""
    if (query.since, query.until) == (None, None):
        return True
    at = user.last_activity_at
    return at is not None and (query.since or at) <= at and (query.until is None or at < query.until)


def _row(users: Users, user: User) -> UserRow:
    return UserRow(
        user_id=user.user_id,
        last_activity_at=user.last_activity_at,
        linked_to=user.linked_to,
        visitors=list(user.visitors),
        running_turns=user.running_turns,
        quota=QuotaFields(**vars(user.quota)),
        limits=QuotaFields(**vars(user.quota.over(quota_of_users(users.settings)))),
        today=Day(**vars(user.today)),
    )
