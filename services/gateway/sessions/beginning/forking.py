"""Begin a new session with what was said in another one, up to a message and along its branch."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Protocol
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from services.gateway.account.identity import Caller, CallerDep, account_of
from services.gateway.account.limits.buckets import Buckets, Rate
from services.gateway.account.projects import admit_writer
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.handed import from_app
from services.gateway.http.requests.cursors import Place
from services.gateway.http.requests.fields import SessionId
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.sessions.answers import Session, SessionAnswer
from services.gateway.sessions.edits.fields import Title
from services.gateway.sessions.messages.conversation import Conversation
from services.gateway.sessions.own_session import OwnSession, OwnSessions
from services.gateway.sessions.status import FIRST_STEP
from services.gateway.writes.accept import Accepting
from services.gateway.writes.broker_gate import require_broker
from shared.errors import Invalid, NotFound, NotStoredYet, TooLarge
from shared.events import SessionForked
from shared.ids import NAMESPACE, derived_id, new_id, scoped
from shared.publishing.publisher import Publisher

MOST_MESSAGES = 50_000  # of a session that is forked: the logger copies them at one go
RATE = Rate(30, "forks", "forks")  # of one account: each may copy as many

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class NewFork(BaseModel):
    model_config = ConfigDict(extra="forbid")

    message_id: SessionId | None = None  # the last that is taken along; by default the session's newest
    title: Title | None = None


class Quotas(Protocol):
    def counted(self, user_id: str, account: str, session_id: str) -> AbstractAsyncContextManager[None]: ...


class Forking:
    """What the route works with."""

    def __init__(
        self,
        own: OwnSessions,
        conversation: Conversation,
        buckets: Buckets,
        publisher: Publisher,
        accepting: Accepting,
        *,
        quotas: Quotas,
    ) -> None:
        self._own = own
        self._conversation = conversation
        self._buckets = buckets
        self._publisher = publisher
        self._accepting = accepting
        self._quotas = quotas

    async def admit(self, account: str) -> None:
        """Let a fork in.

        Raises:
            TooMany: It is one too many of this account in this minute.
        """
        await self._buckets.take(RATE, account)

    async def fork(
        self, caller: Caller, session_id: str, body: NewFork, write: Write, account: str = ""
    ) -> tuple[Session, int]:
        """Fork a session; `account` is whom the limits count it for.

        Returns:
            The new session, and the status: 200 where this key has made it before, 201, or 202 where it is accepted and
            not stored yet.

        Raises:
            BrokerAway: Nothing can be accepted.
            Forbidden: The caller may not write.
            Invalid: Nothing was said in the session.
            NotFound: There is no such session, or no such message in it; or the fork of this key was deleted.
            NotStoredYet: What is to be copied is not where it can be copied.
            TooLarge: There is too much of it.
            QuotaUsedUp, TooManySessions: The caller has begun, or has, as many sessions as they may.
        """
        require_broker(self._publisher)
        admit_writer(caller.projects, None)
        own = await self._own.find(caller, session_id)
        fork_id = _id_of(own, write.key)
        known = await self._own.find_or_new(caller, str(fork_id)) if write.key else None
        if known is not None and known.shown.forked_from is not None:
            return known.shown, 200
        last_id = await self._last(own, body.message_id)
        event = _event(own, fork_id, last_id, body, write)
        async with self._quotas.counted(own.user_id, account, event.session_id):
            stored = await self._accepting.accept([event], self._look(caller, event), write.wait_s)
        return (stored, 201) if stored else (_expected(own, event), 202)

    async def _last(self, own: OwnSession, message_id: str | None) -> str:
        """Return the message to fork at, which is stored, and so is all that was said before it."""
        session = own.user_id, own.facts.session_id
        place = await (self._newest(own) if message_id is None else self._conversation.place_of(own, message_id))
        if place is None:
            raise NotFound("message_id names no message of this session.")
        said = [each for turn in own.turns for each in turn.said() if each.place <= place]
        if own.facts.stored is None or await self._conversation.queries.missing(
            *session, [place[1], *(each.message_id for each in said)]
        ):
            raise NotStoredYet
        if own.facts.stored.message_count > MOST_MESSAGES:
            raise TooLarge(f"A session of more than {MOST_MESSAGES} messages can't be forked.")
        return place[1]

    async def _newest(self, own: OwnSession) -> Place:
        end = (await self._conversation.queries.ends((own.user_id,), own.facts.session_id)).get(own.user_id)
        places = [each.place for turn in own.turns for each in turn.said() if not each.is_note]
        if end is not None and end.newest is not None:
            places.append(end.newest)
        if not places:
            raise Invalid("Nothing was said in this session yet.")
        return max(places)

    def _look(self, caller: Caller, event: SessionForked) -> Callable[[], Awaitable[Session | None]]:
        async def look() -> Session | None:
            own = await self._own.find_or_new(caller, event.session_id)
            return own.shown if own is not None and own.shown.forked_from is not None else None

        return look


def _id_of(own: OwnSession, key: str | None) -> UUID:
    return derived_id(NAMESPACE, f"fork/{scoped(own.user_id, own.facts.session_id)}/{key}") if key else new_id()


def _event(own: OwnSession, fork_id: UUID, last_id: str, body: NewFork, write: Write) -> SessionForked:
    accepted_at = own.facts.read_at
    assert accepted_at is not None  # noqa: S101 - whoever reads a session asks the database for the time
    return SessionForked(
        event_id=derived_id(fork_id, SessionForked.__name__),
        correlation_id=write.correlation_id,
        user_id=own.user_id,
        session_id=str(fork_id),
        accepted_at=accepted_at,
        source_id=own.facts.session_id,
        message_id=last_id,
        title=body.title,
    )


def _expected(own: OwnSession, event: SessionForked) -> Session:
    """Show a fork as it is going to be; how many messages are on its branch only the logger counts."""
    shown, at = own.shown, event.accepted_at
    return Session(
        id=event.session_id,
        thread_id=event.session_id,
        status="active",
        workflow_state={},
        title=event.title or shown.title,
        helper=shown.helper,
        project_id=shown.project_id,
        model=shown.model,
        session_tag=None,
        tag_label=None,
        mixed=False,
        message_count=0,
        last_message=None,
        last_activity_at=at,
        created_at=at,
        updated_at=at,
        ended_at=None,
        pinned=False,
        archived=False,
        folder=None,
        labels=[],
        analytics=shown.analytics,
        experiment_name=None,
        forked_from=event.source_id,
        current_step=FIRST_STEP,
        trip=None,
        running_turn=None,
        metadata=shown.metadata,
        stored=False,
    )


@router.post(
    "/api/chat/sessions/{session_id}/fork",
    status_code=201,
    responses={
        200: {"model": SessionAnswer, "description": "This key has made it before"},
        202: {"model": SessionAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def fork_session(
    *,
    forking: Annotated[Forking, from_app(Forking)],
    caller: CallerDep,
    session_id: SessionId,
    body: NewFork,
    write: WriteDep,
    request: Request,
    response: Response,
) -> SessionAnswer:
    """Begin a new session with what was said in this one up to a message; both go on by themselves."""
    await forking.admit(account_of(caller, request))
    session, response.status_code = await forking.fork(caller, session_id, body, write, account_of(caller, request))
    return SessionAnswer(session=session)
