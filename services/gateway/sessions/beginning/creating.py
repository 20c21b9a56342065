"""Begin a session before anything is said in it.

Its opening is first a row of the gateway's own, which settles whether it is a repeat, when it was accepted and what its
event is; then the event is published, from which the logger makes the session.
"""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Annotated, Protocol
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictBool

from services.gateway.account.identity import Caller, CallerDep, account_of
from services.gateway.account.projects import Projects, admit_writer, project_of_new
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.fields import Json, Name, SessionId
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.model.configured.catalog import Catalog
from services.gateway.models.allowed import AllowedModels
from services.gateway.sessions.answers import Session, SessionAnswer
from services.gateway.sessions.beginning.journey import Journeys
from services.gateway.sessions.beginning.templates import TemplateRow
from services.gateway.sessions.edits.fields import Metadata, Title, opened
from services.gateway.sessions.openings import Opening, SessionOpenings, as_opened
from services.gateway.sessions.own_session import OwnSessions
from services.gateway.sessions.view import SessionFacts, show_session
from services.gateway.turns.quota import Quota, QuotaOf, no_quota
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import BrokerAway, NotFound
from shared.ids import NAMESPACE, derived_id, new_id, scoped
from shared.publishing.publisher import Publisher

UNTITLED = "New Chat"  # what frontends call a session that nobody has given a title

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class NewSession(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: SessionId | None = None
    project_id: Name | None = Field(None, validation_alias=AliasChoices("project_id", "projectId"))
    helper: Name | None = None
    model: Name | None = None
    title: Title | None = None
    template_id: UUID | None = None
    experiment_name: Name | None = None
    analytics: StrictBool | None = None
    start_journey: StrictBool | None = None
    metadata: Metadata | None = None


class Templates(Protocol):
    async def find(self, user_ids: Sequence[str], projects: Projects, template_id: UUID) -> TemplateRow | None: ...


class Creating:
    """What the route works with."""

    def __init__(
        self,
        own: OwnSessions,
        openings: SessionOpenings,
        templates: Templates,
        publisher: Publisher,
        accepting: Accepting,
        *,
        catalog: Catalog,
        models: AllowedModels,
        journeys: Journeys,
        quota_of: QuotaOf = no_quota,
    ) -> None:
        self._own = own
        self._openings = openings
        self._templates = templates
        self._publisher = publisher
        self._accepting = accepting
        self._catalog = catalog
        self._models = models
        self._journeys = journeys
        self._quota_of = quota_of

    async def create(self, caller: Caller, body: NewSession, write: Write, account: str = "") -> tuple[Session, int]:
        """Begin a session, or find the one that it is; `account` is whom the limits count it for.

        Returns:
            The session, and the status: 200 where it was there, 201, or 202 where it is accepted and not stored yet.

        Raises:
            BrokerAway: Nothing can be accepted.
            Forbidden: The caller may not write in this project.
            Invalid: The caller may not have the model, there is no such template, or the project must be named.
            NotFound: The session of this id was deleted, or is of a project that the caller does not see.
            QuotaUsedUp, TooManySessions: The caller has begun, or has, as many as they may.
        """
        session, status = await self._create(caller, body, write, account)
        if body.start_journey and await self._journeys.begin(caller, session, write):
            session = (await self._own.find(caller, session.id)).shown
        return session, status

    async def _create(self, caller: Caller, body: NewSession, write: Write, account: str) -> tuple[Session, int]:
        require_broker(self._publisher)
        admit_writer(caller.projects, body.project_id)
        fixed_id = body.id or _id_by(caller, body.project_id, write.key)
        known = await self._own.find_or_new(caller, fixed_id) if fixed_id else None
        if known is not None and known.facts.opened is None and (known.facts.stored is not None or known.turns):
            return known.shown, 200
        asked = await self._filled(caller, body)
        admit_writer(caller.projects, asked.project_id)
        said, proposed = self._said(caller, asked), new_id()
        quota = await self._quota_of(caller.user_id, account)
        opening = await self._openings.take(
            caller.user_id,
            _hash_of(body, said, fixed_id),
            fixed_id or str(new_id()),
            proposed,
            opening=said,
            quota=quota,
        )
        is_new = opening.event_id == proposed
        if not caller.sees(opening.opening.get("project_id")):
            raise NotFound("There is no such session.")  # another token of the user was quicker with this id
        stored = await self._published(caller, opening, write, quota, is_new=is_new)
        if stored is not None:
            return stored, 201 if is_new else 200
        return _expected(opening), 202

    async def _filled(self, caller: Caller, body: NewSession) -> NewSession:
        """Return what is asked for, with what the template has of it that the caller has not named."""
        if body.template_id is None:
            return body
        row = await self._templates.find(caller.user_ids, caller.projects, body.template_id)
        if row is None:
            raise refused_field("template_id", "names no template of yours")
        named = body.model_dump(mode="json", exclude_none=True)
        return NewSession.model_validate({**row.template, **named})

    def _said(self, caller: Caller, body: NewSession) -> Json:
        """Return the fields of the event that the caller named, and the project that the token has for them."""
        said = body.model_dump(mode="json", exclude={"id", "start_journey", "model"}, exclude_none=True)
        project_id = project_of_new(caller.projects, body.project_id)
        if project_id is not None:
            said["project_id"] = project_id
        if said.get("title") == UNTITLED:
            del said["title"]
        if body.model is not None:
            model = self._catalog.find(self._models.chosen(body.model, caller))
            said |= {"model": model.name, "provider": model.provider} if model else {"model": body.model}
        return said

    async def _published(
        self, caller: Caller, opening: Opening, write: Write, quota: Quota | None, *, is_new: bool
    ) -> Session | None:
        event = opened(opening, write.correlation_id)
        try:
            return await self._accepting.accept([event], self._look(caller, opening), write.wait_s)
        except BrokerAway:
            if is_new:  # else whoever opened it tells of it
                await self._openings.withdraw(opening.user_id, opening.event_id, quota)
            raise

    def _look(self, caller: Caller, opening: Opening) -> Callable[[], Awaitable[Session | None]]:
        async def look() -> Session | None:
            own = await self._own.find_or_new(caller, opening.session_id)
            return own.shown if own is not None and _has_heard(own.facts, opening) else None

        return look


def _has_heard(facts: SessionFacts, opening: Opening) -> bool:
    """Tell whether the logger has heard of an opening: each field of these then has its stamp, or a change's."""
    stamped = {"title", "experiment_name", "metadata"} & opening.opening.keys()
    return facts.stored is not None and stamped <= facts.stored.field_stamps.keys()


def _expected(opening: Opening) -> Session:
    view = show_session(as_opened(SessionFacts(opening.user_id, opening.session_id), opening), [])
    assert view is not None  # noqa: S101 - what was opened can be shown
    return view.session


def _id_by(caller: Caller, project_id: str | None, key: str | None) -> str | None:
    """Return the id that a caller's key fixes; those of callers who are limited to projects are kept apart."""
    if key is None:
        return None
    name = f"session/{scoped(caller.user_id, key)}"
    if caller.projects is not None:
        name += f"/{project_id or '/'.join(caller.projects)}"
    return str(derived_id(NAMESPACE, name))


def _hash_of(body: NewSession, said: Json, fixed_id: str | None) -> bytes:
    asked: object = fixed_id if fixed_id is not None else [body.model_dump(mode="json"), said]
    return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).digest()


@router.post(
    "/api/chat/sessions",
    status_code=201,
    responses={
        200: {"model": SessionAnswer, "description": "It was there already"},
        202: {"model": SessionAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 413, 415, 422, 429, 503),
    },
)
async def create_session(
    *,
    creating: Annotated[Creating, from_app(Creating)],
    caller: CallerDep,
    body: NewSession,
    write: WriteDep,
    request: Request,
    response: Response,
) -> SessionAnswer:
    """Begin a session in which nothing was said yet; equal ones within 2 s are one."""
    session, response.status_code = await creating.create(caller, body, write, account_of(caller, request))
    return SessionAnswer(session=session)
