"""Share a session by a link, with users or with a project, for a while; see what is shared, and take it back."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AliasChoices, BaseModel, Field, model_validator

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.account.projects import admit_writer
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.ending import Ending
from services.gateway.http.requests.fields import Name, SessionId
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.sharing.store import Readers, SharedSession, ShareStore
from services.gateway.writes.announcing import Announcing
from shared.errors import Forbidden, NotFound
from shared.ids import NAMESPACE, derived_id, new_id, scoped, secret_hash

MOST_USERS = 50  # of one share
PATH = "/api/shared/"

router = APIRouter(tags=["shares"], route_class=StrictRoute)


class NewShare(Ending):
    """With whom, by default whoever has the link, and until when, by default for 30 days."""

    users: list[Name] | None = Field(None, min_length=1, max_length=MOST_USERS)
    project_id: Name | None = Field(None, validation_alias=AliasChoices("project_id", "projectId"))

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.users is not None and self.project_id is not None:
            raise ValueError("users and project_id are two shares: send one of them")
        return self

    def readers(self, token: str) -> Readers:
        """Return whom it is for, who may be whoever has this token."""
        if self.users is not None:
            return Readers(users=list(dict.fromkeys(self.users)))
        return Readers(project_id=self.project_id) if self.project_id else Readers(token_hash=secret_hash(token))


class Share(BaseModel):
    id: UUID
    title: str | None  # as it is shown to others
    users: Sequence[str] | None  # with whom; null where it is shared by a link, or with a project
    project_id: str | None  # with which
    created_at: datetime  # what was said until then can be read
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: SharedSession) -> Self:
        return cls(
            id=row.share_id,
            title=row.title,
            users=row.users,
            project_id=row.project_id,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )


class MadeShare(Share):
    """A share whose link is told once: nobody can find it again."""

    token: str | None = None
    url: str | None = None  # below the gateway's own address


class ShareAnswer(BaseModel):
    share: Share


class MadeShareAnswer(BaseModel):
    share: MadeShare


class SharePage(Page):
    shares: list[Share]


PAGING = Paging("shares", UUID)


@dataclass(frozen=True)
class Sharing:
    """What these routes work with."""

    own: OwnSessions
    store: ShareStore
    announcing: Announcing

    async def add(self, caller: Caller, session_id: str, body: NewShare, write: Write) -> tuple[MadeShare, bool]:
        """Share a session, and tell whether that is new; of a repeat by its key the link is not told.

        Raises:
            Forbidden: The caller may not share it with them.
            Invalid: It cannot end then.
            NotFound: There is no such session, or it was deleted meanwhile.
        """
        own = await self.own.find(caller, session_id)
        _admit(caller, body)
        now = own.facts.read_at
        assert now is not None  # noqa: S101 - whoever reads a session asks the database for the time
        token = secrets.token_urlsafe(32)
        readers = body.readers(token)
        name = f"share/{scoped(own.user_id, session_id)}/{write.key}"
        share_id = derived_id(NAMESPACE, name) if write.key else new_id()
        about = own.shown.title, own.shown.project_id
        added = await self.store.add(share_id, readers, own.facts.key, about, body.end(now))
        if added is None:
            raise NotFound("There is no such session.")
        row, is_new = added
        if not is_new:
            return MadeShare.of(row), False
        await self._announce(row)
        link = {"token": token, "url": f"{PATH}{token}"} if readers.token_hash else {}
        return MadeShare.of(row).model_copy(update=link), True

    async def revoke(self, caller: Caller, session_id: str, share_id: UUID) -> Share:
        """Take a share back.

        Raises:
            NotFound: There is no such session, or no such share of it.
        """
        own = await self.own.find(caller, session_id)
        row = await self.store.revoke(own.facts.key, share_id)
        if row is None:
            raise NotFound("There is no such share of this session.")
        await self._announce(row)
        return Share.of(row)

    async def _announce(self, row: SharedSession) -> None:
        await self.announcing.touched(row.user_id, [row.session_id], "shares")
        for reader in row.users or ():
            await self.announcing.touched(reader, [str(row.share_id)], "shared")


def _admit(caller: Caller, body: NewShare) -> None:
    """Let a caller choose whom a session is for.

    Raises:
        Forbidden: Nobody knows who the caller is, or their token is not for this project.
        Invalid: It is the caller.
    """
    if body.users is None and body.project_id is None:
        return
    if caller.is_visitor:
        raise Forbidden("A visitor shares by a link: others are not shown what somebody unknown sends them.")
    admit_writer(caller.projects, body.project_id)
    if set(body.users or ()) & set(caller.user_ids):
        raise refused_field("users", "names the caller, who has the session")


SharingDep = Annotated[Sharing, from_app(Sharing)]


@router.post(
    "/api/chat/sessions/{session_id}/shares",
    status_code=201,
    responses={
        200: {"model": MadeShareAnswer, "description": "This key has made it before"},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
)
async def share_session(
    *,
    sharing: SharingDep,
    caller: CallerDep,
    session_id: SessionId,
    body: NewShare,
    write: WriteDep,
    response: Response,
) -> MadeShareAnswer:
    """Let whoever has the link, these users, or those of a project read what was said in this session until now."""
    share, is_new = await sharing.add(caller, session_id, body, write)
    response.status_code = 201 if is_new else 200
    return MadeShareAnswer(share=share)


@router.get("/api/chat/sessions/{session_id}/shares", responses=problem_responses(401, 404, 422, 429, 503))
async def list_shares(
    sharing: SharingDep, caller: CallerDep, session_id: SessionId, query: Annotated[PageQuery, Query()]
) -> SharePage:
    """List a session's shares, those that have ended too."""
    before = PAGING.before(query)
    own = await sharing.own.find(caller, session_id)
    page, cursor = PAGING.cut(await sharing.store.page(own.facts.key, query.limit + 1, before), query)
    return SharePage(shares=[Share.of(row) for row in page], next_cursor=cursor)


@router.delete(
    "/api/chat/sessions/{session_id}/shares/{share_id}", responses=problem_responses(401, 403, 404, 422, 429, 503)
)
async def revoke_share(sharing: SharingDep, caller: CallerDep, session_id: SessionId, share_id: UUID) -> ShareAnswer:
    """Take a share back: from here on it is 410."""
    return ShareAnswer(share=await sharing.revoke(caller, session_id, share_id))
