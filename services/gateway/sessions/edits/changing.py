"""Change a session, or end it: publish what its user sets, and wait until it stands, or something newer does."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Name, SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.answers import Session, SessionAnswer
from services.gateway.sessions.edits.fields import MOST_LABELS, Metadata, Title, changed
from services.gateway.sessions.edits.settled import expected, has_settled, is_edited_as
from services.gateway.sessions.own_session import OwnSession, OwnSessions
from services.gateway.sessions.view import etag_of
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import Invalid, Stale
from shared.events import SessionChanged
from shared.publishing.publisher import Publisher

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class SessionPatch(BaseModel):
    """What a user may set; what is not there stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    title: Title | None = None  # null: the automatic one
    pinned: StrictBool = False
    archived: StrictBool = False
    folder: Title | None = None
    labels: list[Title] = Field(default_factory=list, max_length=MOST_LABELS)
    metadata: Metadata = Field(default_factory=dict)
    analytics: StrictBool = True
    experiment_name: Name | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields that are set.

        Raises:
            Invalid: There are none.
        """
        fields = self.model_dump(exclude_unset=True)
        if not fields:
            raise Invalid("The body sets nothing.")
        if "labels" in fields:
            fields["labels"] = list(dict.fromkeys(fields["labels"]))
        return fields


class Changing:
    """What the routes work with."""

    def __init__(self, own: OwnSessions, publisher: Publisher, accepting: Accepting) -> None:
        self._own = own
        self._publisher = publisher
        self._accepting = accepting

    async def change(
        self, caller: Caller, session_id: str, patch: Mapping[str, Any], write: Write, if_match: str | None
    ) -> tuple[Session, str | None]:
        """Set fields of a session.

        Returns:
            What stands, and the ETag of that; as it is going to be and without one where it is not stored yet.

        Raises:
            BrokerAway: Nothing can be accepted.
            NotFound: There is no such session, or it was deleted meanwhile.
            Stale: Somebody has edited it since.
        """
        require_broker(self._publisher)
        own = await self._own.find(caller, session_id)
        if not is_edited_as(if_match, own):
            raise Stale
        return await self._settle(caller, own, patch, write)

    async def end(self, caller: Caller, session_id: str, write: Write) -> tuple[Session, str | None]:
        """End a session; one that has ended stays as it is.

        Raises:
            BrokerAway: Nothing can be accepted.
            NotFound: There is no such session, or it was deleted meanwhile.
        """
        require_broker(self._publisher)
        own = await self._own.find(caller, session_id)
        if own.shown.ended_at is not None:
            return own.shown, etag_of(own.facts, own.shown)
        return await self._settle(caller, own, {"ended_at": own.facts.read_at}, write)

    async def _settle(
        self, caller: Caller, own: OwnSession, patch: Mapping[str, Any], write: Write
    ) -> tuple[Session, str | None]:
        event = changed(own, patch, write.correlation_id)
        settled = await self._accepting.accept([event], self._look(caller, event), write.wait_s)
        if settled is None:
            return expected(own, patch), None
        return settled.shown, etag_of(settled.facts, settled.shown)

    def _look(self, caller: Caller, event: SessionChanged) -> Callable[[], Awaitable[OwnSession | None]]:
        async def look() -> OwnSession | None:
            own = await self._own.find(caller, event.session_id)
            return own if has_settled(own.facts, event) else None

        return look


ChangingDep = Annotated[Changing, from_app(Changing)]


@router.patch(
    "/api/chat/sessions/{session_id}",
    responses={
        202: {"model": SessionAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 412, 413, 415, 422, 429, 503),
    },
)
async def change_session(
    *,
    changing: ChangingDep,
    caller: CallerDep,
    session_id: SessionId,
    body: SessionPatch,
    write: WriteDep,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> SessionAnswer:
    """Set fields of a session; of two changes of one field the one that was accepted last stands."""
    session, etag = await changing.change(caller, session_id, body.fields(), write, if_match)
    return _answer(session, etag, response)


@router.post(
    "/api/chat/sessions/{session_id}/end",
    responses={
        202: {"model": SessionAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(401, 403, 404, 422, 429, 503),
    },
)
async def end_session(
    changing: ChangingDep, caller: CallerDep, session_id: SessionId, write: WriteDep, response: Response
) -> SessionAnswer:
    """End a session; the next message begins it again."""
    session, etag = await changing.end(caller, session_id, write)
    return _answer(session, etag, response)


def _answer(session: Session, etag: str | None, response: Response) -> SessionAnswer:
    if etag is None:
        response.status_code = 202
    else:
        response.headers["ETag"] = etag
    return SessionAnswer(session=session)
