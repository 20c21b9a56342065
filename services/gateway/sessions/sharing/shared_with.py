"""What others share with a caller, by name or by a project of their token: see it, read it, and leave it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.pages import Page, PageQuery, Paging
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.sessions.messages.routes import SessionMessages
from services.gateway.sessions.sharing.queries import SharedQueries, SharedRow
from services.gateway.sessions.sharing.shared_session import SharedPage, SharedQuery, answer_shared
from services.gateway.sessions.sharing.store import SharedSession, ShareStore
from services.gateway.writes.announcing import Announcing
from shared.errors import Forbidden, NotFound

PATH = "/api/chat/shared/"
PAGING = Paging("shared sessions", UUID)

router = APIRouter(tags=["shares"], route_class=StrictRoute)


class SharedWithCaller(BaseModel):
    """A session that somebody shares with the caller."""

    id: UUID  # the share's
    title: str | None  # as it was then
    shared_at: datetime  # what was said until then can be read
    expires_at: datetime | None
    project_id: str | None  # with which it is shared; null: with the caller by name
    url: str  # below the gateway's own address

    @classmethod
    def of(cls, row: SharedRow) -> Self:
        return cls(
            id=row.share_id,
            title=row.title,
            shared_at=row.created_at,
            expires_at=row.expires_at,
            project_id=row.project_id,
            url=f"{PATH}{row.share_id}",
        )


class SharedWithPage(Page):
    sessions: Sequence[SharedWithCaller]


@dataclass(frozen=True)
class SharedWith:
    """What these routes work with."""

    queries: SharedQueries
    store: ShareStore
    messages: SessionMessages
    announcing: Announcing

    async def page(self, caller: Caller, query: PageQuery) -> SharedWithPage:
        """Return a page of what is shared with a caller, the newest first."""
        before = PAGING.before(query)
        async with self.messages.lanes.of(caller):
            page, cursor = PAGING.cut(await self.queries.page(caller, query.limit + 1, before), query)
        return SharedWithPage(sessions=[SharedWithCaller.of(row) for row in page], next_cursor=cursor)

    async def find(self, caller: Caller, share_id: UUID) -> SharedSession:
        """Return what is shared with a caller; it may have ended.

        Raises:
            NotFound: There is no such share, or it is for others.
        """
        share = await self.queries.find(caller, share_id)
        if share is None:
            raise NotFound("There is no such session shared with you.")
        return share

    async def leave(self, caller: Caller, share_id: UUID) -> None:
        """Let a session not be shared with the caller any more.

        Raises:
            Forbidden: It is shared with a project.
            NotFound: It is not shared with them.
        """
        share = await self.find(caller, share_id)
        if not await self.store.leave(caller.user_ids, share_id):
            raise Forbidden("It is shared with a project: whoever shares it can take it back.")
        await self.announcing.touched(share.user_id, [share.session_id], "shares")


SharedWithDep = Annotated[SharedWith, from_app(SharedWith)]


@router.get(
    PATH + "{share_id}",
    response_model=SharedPage,
    responses=problem_responses(401, 404, 410, 422, 429, 503),
)
async def read_shared_with_me(
    shared: SharedWithDep, caller: CallerDep, share_id: UUID, query: Annotated[SharedQuery, Query()]
) -> Response:
    """Read a session that is shared with the caller, from its first message on."""
    share = await shared.find(caller, share_id)
    return await answer_shared(shared.messages, share, caller.user_id, query)


@router.delete(PATH + "{share_id}", status_code=204, responses=problem_responses(401, 403, 404, 422, 429, 503))
async def leave_shared(shared: SharedWithDep, caller: CallerDep, share_id: UUID) -> Response:
    """Let a session not be shared with the caller any more."""
    await shared.leave(caller, share_id)
    return Response(status_code=204)
