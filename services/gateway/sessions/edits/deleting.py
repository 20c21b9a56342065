"""Delete a session; `bulk.py` deletes several."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.deletion.deleting import Deleting
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.edits.settled import is_edited_as
from services.gateway.sessions.own_session import OwnSessions
from shared.errors import Stale

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class DeletedSession(BaseModel):
    id: str
    status: Literal["deleted"] = "deleted"
    deleted_at: datetime
    stored: bool  # the logger has noted it, too; hidden it is in either case


class SessionDeletion:
    """What the route works with."""

    def __init__(self, own: OwnSessions, deleting: Deleting) -> None:
        self._own = own
        self._deleting = deleting

    async def delete(self, caller: Caller, session_id: str, write: Write, if_match: str | None) -> DeletedSession:
        """Delete a session, hidden from here on.

        Raises:
            NotFound: There is no such session, or no more.
            Stale: Somebody has edited it since.
        """
        own = await self._own.find(caller, session_id)
        if not is_edited_as(if_match, own):
            raise Stale
        (deletion,), noted = await self._deleting.delete([own.facts.key], write)
        return DeletedSession(id=session_id, deleted_at=deletion.deleted_at, stored=noted)


@router.delete(
    "/api/chat/sessions/{session_id}",
    responses={
        202: {"model": DeletedSession, "description": "Deleted; not every service knows of it yet"},
        **problem_responses(401, 403, 404, 412, 422, 429, 503),
    },
)
async def delete_session(
    *,
    deletion: Annotated[SessionDeletion, from_app(SessionDeletion)],
    caller: CallerDep,
    session_id: SessionId,
    write: WriteDep,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> DeletedSession:
    """Delete a session with all that was said in it, for good; a turn that runs is stopped."""
    deleted = await deletion.delete(caller, session_id, write, if_match)
    response.status_code = 200 if deleted.stored else 202
    return deleted
