"""Make API keys, see them, and take them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Self
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.gateway.account.identity import Caller, KnownCallerDep, Role
from services.gateway.account.keys.api_keys import new_key
from services.gateway.account.keys.store import MOST_KEYS, ApiKey, KeyStore
from services.gateway.account.projects import Projects
from services.gateway.account.rights import may_give
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.ending import Ending
from services.gateway.http.requests.fields import Name
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from shared.errors import Conflict, Forbidden, NotFound
from shared.ids import NAMESPACE, derived_id, new_id, scoped, secret_hash

MOST_PROJECTS = 100  # of one key

router = APIRouter(tags=["account"], route_class=StrictRoute)
log = structlog.get_logger(__name__)


class NewKey(Ending):
    """What a key is called, and may do: by default what a user may in its maker's projects, for 90 days."""

    USUAL_S: ClassVar[int] = 90 * 24 * 3600

    name: Name
    role: Role = "user"
    projects: list[Name] | None = Field(None, min_length=1, max_length=MOST_PROJECTS)


class Key(BaseModel):
    id: UUID
    name: str
    role: Role
    projects: Sequence[str] | None  # that it is limited to; null: to none
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None  # to the hour
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKey) -> Self:
        return cls(id=row.key_id, **{name: value for name, value in vars(row).items() if name != "key_id"})


class MadeKey(Key):
    """A key, which is told once: nobody can find it again."""

    token: str | None = None  # to be sent as `Authorization: Bearer`


class KeyAnswer(BaseModel):
    key: Key


class MadeKeyAnswer(BaseModel):
    key: MadeKey


class KeyPage(Page):
    keys: list[Key]


PAGING = Paging("keys", UUID)


@dataclass(frozen=True)
class Keys:
    """What these routes work with."""

    store: KeyStore

    async def make(self, maker: Caller, body: NewKey, write: Write) -> tuple[MadeKey, bool]:
        """Make a key, and tell whether that is new; of a repeat by its `Idempotency-Key` the key is not told.

        Raises:
            Forbidden: The maker may not, or not this one.
            Conflict: They have as many as they may.
        """
        admit_maker(maker)
        projects = projects_given(maker, body)
        expires_at = body.end(datetime.now(UTC))
        key_id = derived_id(NAMESPACE, f"key/{scoped(maker.user_id, write.key)}") if write.key else new_id()
        key = new_key()
        added = await self.store.add(
            key_id, secret_hash(key), maker.user_id, (body.name, body.role, projects), expires_at
        )
        if added is None:
            raise Conflict(f"You have {MOST_KEYS} keys: take one back before you make another.")
        row, is_new = added
        if is_new:
            log.info("API key made", key_id=str(key_id), role=row.role)
        return MadeKey(**Key.of(row).model_dump(), token=key if is_new else None), is_new

    async def revoke(self, caller: Caller, key_id: UUID) -> Key:
        """Take a key back.

        Raises:
            Forbidden: The caller has no keys to see to.
            NotFound: They have no such key.
        """
        admit_maker(caller)
        row = await self.store.revoke(caller.user_id, caller.projects, key_id)
        if row is None:
            raise NotFound("You have no such key.")
        log.info("API key taken back", key_id=str(key_id))
        return Key.of(row)


def admit_maker(caller: Caller) -> None:
    """Let somebody see to their keys.

    Raises:
        Forbidden: They call by a key, which could outlive itself else; or they are a visitor.
    """
    if caller.key_id is not None:
        raise Forbidden("A key sees to no keys: sign in.")
    if caller.is_visitor:
        raise Forbidden("Visitors have no keys: sign in.")


def projects_given(maker: Caller, body: NewKey) -> Projects:
    """Return the projects of a key, all of them its maker's.

    Raises:
        Forbidden: They are more than its maker's, or so is the role.
    """
    if not may_give(maker.role, body.role):
        raise Forbidden(f"You are no {body.role}, so no key of yours is.")
    if body.projects is None:
        return maker.projects
    if not all(maker.sees(project) for project in body.projects):
        raise Forbidden("projects: your token is limited to others.")
    return tuple(dict.fromkeys(body.projects))


KeysDep = Annotated[Keys, from_app(Keys)]


@router.post(
    "/api/keys",
    status_code=201,
    responses={
        200: {"model": MadeKeyAnswer, "description": "This `Idempotency-Key` has made it before"},
        **problem_responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
    },
)
async def make_key(
    keys: KeysDep, caller: KnownCallerDep, body: NewKey, write: WriteDep, response: Response
) -> MadeKeyAnswer:
    """Make a key that calls as the caller, and may do no more than they may now. It is told once."""
    key, is_new = await keys.make(caller, body, write)
    response.status_code = 201 if is_new else 200
    return MadeKeyAnswer(key=key)


@router.get("/api/keys", responses=problem_responses(401, 403, 422, 429, 503))
async def list_keys(keys: KeysDep, caller: KnownCallerDep, query: Annotated[PageQuery, Query()]) -> KeyPage:
    """List the caller's keys, those that have ended too."""
    admit_maker(caller)
    before = PAGING.before(query)
    rows = await keys.store.page(caller.user_id, caller.projects, query.limit + 1, before)
    page, cursor = PAGING.cut(rows, query)
    return KeyPage(keys=[Key.of(row) for row in page], next_cursor=cursor)


@router.delete("/api/keys/{key_id}", responses=problem_responses(401, 403, 404, 422, 429, 503))
async def revoke_key(keys: KeysDep, caller: KnownCallerDep, key_id: UUID) -> KeyAnswer:
    """Take a key back: within a second no gateway takes it any more."""
    return KeyAnswer(key=await keys.revoke(caller, key_id))
