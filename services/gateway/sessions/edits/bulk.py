"""Do one thing to many sessions: each id has its own result, and a bad one spoils nothing."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.deletion.deleting import Deleting
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.edits.fields import MOST_LABELS, Title, changed
from services.gateway.sessions.edits.settled import has_settled
from services.gateway.sessions.own_session import OwnSession, OwnSessions
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import Invalid, NotFound, Refused
from shared.events import SessionChanged
from shared.ids import is_client_id
from shared.publishing.publisher import Publisher

MOST_IDS = 200
PATCHES: Mapping[str, Mapping[str, Any]] = {
    "archive": {"archived": True},
    "unarchive": {"archived": False},
    "pin": {"pinned": True},
    "unpin": {"pinned": False},
}

router = APIRouter(tags=["sessions"], route_class=StrictRoute)

Ids = Annotated[list[Annotated[str, Field(max_length=255)]], Field(min_length=1, max_length=MOST_IDS)]


class Mark(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ids: Ids
    action: Literal["archive", "unarchive", "pin", "unpin"]
    value: None = None

    def patch(self, _own: OwnSession) -> Mapping[str, Any]:
        return PATCHES[self.action]


class Move(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ids: Ids
    action: Literal["move"]
    value: Title | None = None  # the folder; null: none

    def patch(self, _own: OwnSession) -> Mapping[str, Any]:
        return {"folder": self.value}


class Delete(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ids: Ids
    action: Literal["delete"]
    value: None = None


class Label(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ids: Ids
    action: Literal["label"]
    value: Title  # one more label

    def patch(self, own: OwnSession) -> Mapping[str, Any]:
        """Add the label.

        Raises:
            Invalid: The session has as many as it may have.
        """
        labels = list(dict.fromkeys([*own.shown.labels, self.value]))
        if len(labels) > MOST_LABELS:
            raise Invalid(f"A session may have at most {MOST_LABELS} labels.")
        return {"labels": labels}


def _kind(body: Any) -> str:
    action = body.get("action") if isinstance(body, dict) else getattr(body, "action", None)
    return f"<{action}>" if action in ("move", "label", "delete") else "<mark>"


BulkChange = Annotated[
    Annotated[Mark, Tag("<mark>")]
    | Annotated[Move, Tag("<move>")]
    | Annotated[Label, Tag("<label>")]
    | Annotated[Delete, Tag("<delete>")],
    Discriminator(_kind),
]


class BulkResult(BaseModel):
    id: str
    ok: bool
    stored: bool = False
    code: str | None = None  # as in a problem document, with its detail
    error: str | None = None


class BulkAnswer(BaseModel):
    results: list[BulkResult]


class Bulk:
    """What the route works with."""

    def __init__(self, own: OwnSessions, publisher: Publisher, accepting: Accepting, deleting: Deleting) -> None:
        self._own = own
        self._deleting = deleting
        self._publisher = publisher
        self._accepting = accepting

    async def change(self, caller: Caller, body: Mark | Move | Label, write: Write) -> list[BulkResult]:
        """Change these sessions, and tell of each what became of it, in the order of the ids.

        Raises:
            BrokerAway: Nothing more can be accepted; a repeat does what is left.
        """
        require_broker(self._publisher)
        ids = list(dict.fromkeys(body.ids))
        found = await self._own.find_many(caller, [each for each in ids if is_client_id(each)])
        events: dict[str, SessionChanged] = {}
        refused: dict[str, Refused] = {}
        for session_id in ids:
            try:
                events[session_id] = _event(body, session_id, found.get(session_id), write)
            except Refused as error:
                refused[session_id] = error
        stored = await self._stored(caller, events, write)
        return [_result(session_id, session_id in stored, refused.get(session_id)) for session_id in ids]

    async def delete(self, caller: Caller, ids: Sequence[str], write: Write) -> list[BulkResult]:
        """Delete these sessions, in one commit, and tell of each what became of it; no broker is needed for it."""
        ids = list(dict.fromkeys(ids))
        found = await self._own.find_many(caller, [each for each in ids if is_client_id(each)])
        noted = False
        if found:
            _, noted = await self._deleting.delete([own.facts.key for own in found.values()], write)
        return [_result(each, noted, None if each in found else _refusal(each)) for each in ids]

    async def _stored(self, caller: Caller, events: Mapping[str, SessionChanged], write: Write) -> set[str]:
        """Publish the changes, and return the sessions in which they, or newer ones, were seen in time."""
        stored: set[str] = set()

        async def look() -> bool | None:
            waiting = [session_id for session_id in events if session_id not in stored]
            for session_id, own in (await self._own.find_many(caller, waiting)).items():
                if has_settled(own.facts, events[session_id]):
                    stored.add(session_id)
            return True if len(stored) == len(events) else None

        if events:
            await self._accepting.accept(list(events.values()), look, write.wait_s)
        return stored


def _event(body: Mark | Move | Label, session_id: str, own: OwnSession | None, write: Write) -> SessionChanged:
    if own is None:
        raise _refusal(session_id)
    return changed(own, body.patch(own), write.correlation_id)


def _refusal(session_id: str) -> Refused:
    """Say why there is no session of this id."""
    if not is_client_id(session_id):
        return Invalid("An id is 1 to 64 of A-Za-z0-9_-.")
    return NotFound("There is no such session.")


def _result(session_id: str, is_stored: bool, error: Refused | None) -> BulkResult:
    if error is not None:
        return BulkResult(id=session_id, ok=False, code=error.code, error=error.detail)
    return BulkResult(id=session_id, ok=True, stored=is_stored)


def _all_stored(results: Sequence[BulkResult]) -> bool:
    return all(result.stored for result in results if result.ok)


@router.post(
    "/api/chat/sessions/bulk",
    responses={
        202: {"model": BulkAnswer, "description": "Accepted, and not all stored yet"},
        **problem_responses(400, 401, 403, 413, 415, 422, 429, 503),
    },
)
async def change_sessions(
    bulk: Annotated[Bulk, from_app(Bulk)], caller: CallerDep, body: BulkChange, write: WriteDep, response: Response
) -> BulkAnswer:
    """Do one thing to up to 200 sessions."""
    if isinstance(body, Delete):
        results = await bulk.delete(caller, body.ids, write)
    else:
        results = await bulk.change(caller, body, write)
    response.status_code = 200 if _all_stored(results) else 202
    return BulkAnswer(results=results)


@router.delete(
    "/api/chat/sessions",
    responses={
        202: {"model": BulkAnswer, "description": "Deleted, and not noted by every service yet"},
        **problem_responses(400, 401, 403, 422, 429, 503),
    },
)
async def delete_sessions(
    bulk: Annotated[Bulk, from_app(Bulk)],
    caller: CallerDep,
    write: WriteDep,
    response: Response,
    id: Annotated[list[str] | None, Query(max_length=MOST_IDS)] = None,  # noqa: A002 - its name in the query
) -> BulkAnswer:
    """Delete up to 200 sessions, as `bulk` does; without ids none."""
    if not id:
        raise Refused("Say which: ?id=...&id=...")
    results = await bulk.delete(caller, id, write)
    response.status_code = 200 if _all_stored(results) else 202
    return BulkAnswer(results=results)
