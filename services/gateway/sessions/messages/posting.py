"""Messages that a client stores itself, beside those that its turns store or without any.

The rules are those of docs/http.md, `POST .../messages`: one message is one row, whoever stores it first.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import orjson
from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from services.gateway.account.identity import Caller, CallerDep
from services.gateway.account.limits.buckets import Buckets, Rate
from services.gateway.account.projects import admit_writer, project_of_new
from services.gateway.http.answers.problems import problem_responses
from services.gateway.http.requests.fields import MOST_PARTS, Json, Name, SessionId, check_extras, check_text
from services.gateway.http.requests.idempotency_key import HEADER
from services.gateway.http.requests.refused_field import refused_field
from services.gateway.http.requests.strict_route import StrictRoute
from services.gateway.http.write_headers import Write, WriteDep
from services.gateway.model.configured.catalog import Catalog
from services.gateway.sessions.answers import Message
from services.gateway.sessions.messages.queries import MessageQueries
from services.gateway.sessions.messages.recent_ends import RecentEnds
from services.gateway.sessions.messages.session_end import SessionEnd, SessionEnds
from services.gateway.turns.past.history import HistoryMessage, answer_of, question_of
from services.gateway.turns.past.kept import NOTHING, Kept
from services.gateway.turns.quota import QuotaOf, UsedUp, no_quota
from services.gateway.turns.starting import SessionGone, StaleHistory, until_fresh
from services.gateway.turns.stored.claims import Claim, Claimed
from services.gateway.turns.stored.grouped import BrokenOff
from services.gateway.turns.stored.readings import TurnReadings
from services.gateway.turns.stored.store import TurnStore
from services.gateway.turns.told.telling import Telling, has_told
from services.gateway.turns.turn import Question, Turn, text_parts
from services.gateway.writes.receipts import Receipts
from shared.backoff import patiently
from shared.database import is_away
from shared.errors import NotFound
from shared.events import Role
from shared.ids import new_id
from shared.process.telemetry import inject
from shared.settings import Settings

PATH = "/api/chat/sessions/{session_id}/messages"
SETTLE_S = 1.0  # for another try to find out whether a message is accepted whose commit nobody has confirmed

router = APIRouter(tags=["sessions"], route_class=StrictRoute)


class NewMessage(BaseModel):
    """A message as its client has it; `parts` are the AI SDK's, a tool's call and result among them."""

    model_config = ConfigDict(extra="forbid")

    id: SessionId | None = None
    role: Role
    content: str = Field(pattern=r"^[^\x00]*$")
    parts: list[Json] = Field(default_factory=list, max_length=MOST_PARTS)
    model: Name | None = None  # that said it, or that is asked
    parent_id: SessionId | None = None
    metadata: Json = Field(default_factory=dict)
    # Of a session that it begins.
    project_id: Name | None = Field(None, validation_alias=AliasChoices("project_id", "projectId"))


class MessageAnswer(BaseModel):
    message: Message


class Posting:
    """What the route works with."""

    def __init__(
        self,
        settings: Settings,
        store: TurnStore,
        turns: TurnReadings,
        queries: MessageQueries,
        *,
        telling: Telling,
        receipts: Receipts,
        buckets: Buckets,
        catalog: Catalog,
        quota_of: QuotaOf = no_quota,
    ) -> None:
        self._quota_of = quota_of
        self.settings = settings
        self._store = store
        self._ends = SessionEnds(turns, queries)
        self.recent = RecentEnds()
        self._queries = queries
        self._telling = telling
        self._receipts = receipts
        self._buckets = buckets
        self._catalog = catalog
        self._rate = Rate(settings.messages_per_minute, "messages", "messages")

    async def admit(self, account: str, message: NewMessage) -> None:
        """Let a message in.

        Raises:
            TooMany: It is one too many of this account in this minute.
            TooLarge: It has too much beside its text.
        """
        await self._buckets.take(self._rate, account)
        if message.role == "user":
            check_text(self.settings.max_message_characters, message.content)
        parts = [{**part, "text": ""} if isinstance(part.get("text"), str) else part for part in message.parts]
        check_extras(self.settings.max_extra_bytes, parts, message.metadata)

    async def post(
        self,
        caller: Caller,
        session_id: str,
        message: NewMessage,
        write: Write,
        *,
        client: Mapping[str, str] | None = None,
        account: str = "",
    ) -> tuple[HistoryMessage, int]:
        """Store a message, which comes from this client, or find the one that it is.

        Where it begins a session, the limits count that for this account.

        Returns:
            The message, and the status: 200 where it was there, 201, or 202 where it is accepted and not stored yet.

        Raises:
            NotFound: The session was deleted, or is of a project that the caller does not see, or the parent is not in
                it.
            Forbidden: The caller may not write in this project.
            Invalid: The key was used for another message; or the session is new, and its project must be named.
            SessionBusy: Others write to this session, too fast to follow.
            QuotaUsedUp, TooManySessions: It begins a session, and the caller has begun, or has, as many as they may.
        """
        admit_writer(caller.projects, message.project_id)
        end = self._recalled(caller, session_id, message)
        if end is not None and (posted := await self._follow(end, message, write, client)):
            return posted
        return await until_fresh(lambda: self._try_to_post(caller, session_id, message, write, (client, account)))

    def _recalled(self, caller: Caller, session_id: str, message: NewMessage) -> SessionEnd | None:
        """Return the end of a session as this gateway knows it, for a message of which only a claim can be refused.

        One that is named may be there already; and what project the session is of may have been settled since.
        """
        if message.id is not None or message.parent_id is not None or caller.projects is not None:
            return None
        recent = self.recent.take(caller.user_id, session_id)
        if recent is None:
            return None
        return SessionEnd(caller.user_id, session_id, [], recent.place, recent.message_id, recent.kept)

    async def _follow(
        self, end: SessionEnd, message: NewMessage, write: Write, client: Mapping[str, str] | None
    ) -> tuple[HistoryMessage, int] | None:
        """Store a message at the end of a session that was not read; None where it is not its end, or not known to be.

        So it is, too, where this key was used before.
        """
        question = _question(message, parent_id=end.newest).said_by(client)
        claim = self._claim(end, end.kept or NOTHING, message, question, write)
        turn = await self._accepted(replace(claim, is_recalled=True))
        return await self._told(turn, end, write) if isinstance(turn, Turn) else None

    async def _try_to_post(
        self,
        caller: Caller,
        session_id: str,
        message: NewMessage,
        write: Write,
        whence: tuple[Mapping[str, str] | None, str],
    ) -> tuple[HistoryMessage, int]:
        client, account = whence
        names = [each for each in (message.id, message.parent_id) if each]
        end = await self._ends.find(caller.user_ids, session_id, caller.projects, names)
        kept = end.kept or Kept(project_of_new(caller.projects, message.project_id))
        question = await self._new(end, message)
        if isinstance(question, HistoryMessage):
            return question, 200
        claim = self._claim(end, kept, message, question.said_by(client), write)
        known = await self._repeated(claim) or await self._copied(end, message, write)
        if known is not None:
            return known, 200
        if claim.begins:
            claim = replace(claim, quota=await self._quota_of(claim.user_id, account))
        turn = await self._accepted(claim)
        if isinstance(turn, UsedUp):
            raise turn.refusal(claim.quota or {})
        if not isinstance(turn, Turn):
            if await self._store.is_gone(claim.user_id, claim.session_id):
                raise SessionGone
            raise StaleHistory  # also where the same key was quicker, which is seen then
        return await self._told(turn, end, write)

    async def _accepted(self, claim: Claim) -> Claimed:
        """Claim; where that is broken off, find out what became of it: nobody is to send twice what is there."""
        try:
            return await self._store.claim(claim)
        except BrokenOff:
            turn = await patiently(lambda: self._store.settle(claim), is_away, SETTLE_S)
            if turn is None:
                raise
            return turn

    async def _repeated(self, claim: Claim) -> HistoryMessage | None:
        """Return the message that this key has stored."""
        repeated = await self._store.by_key(claim.user_id, claim.key) if claim.key else None
        if repeated is None:
            return None
        if repeated.body_hash != claim.body_hash:
            raise refused_field(HEADER, "was used for another request; take a new one")
        return await self._stored_or(question_of(repeated), repeated)

    async def _new(self, end: SessionEnd, message: NewMessage) -> Question | HistoryMessage:
        """Return the new message, at its place; or the one that is there by this id.

        A user's message with another text is an edit: a sibling, which keeps the client's id beside its own.
        """
        named = await self._ends.named(end, [each for each in (message.id, message.parent_id) if each])
        known = named.newest(message.id) if message.id else None
        is_edit = known is not None and known.role == message.role == "user" and known.content != message.content
        if known is not None and not is_edit:
            return known
        parent = named.exact(message.parent_id) if message.parent_id else None
        if message.parent_id is not None and parent is None:
            raise NotFound("parent_id names no message of this session.")
        parent_id = parent.message_id if parent else known.parent_id if known else end.newest
        return _question(message, parent_id=parent_id, is_edit=known is not None)

    async def _copied(self, end: SessionEnd, message: NewMessage, write: Write) -> HistoryMessage | None:
        """Return the message of the newest turn that this is a copy of, once a turn."""
        if not end.has_turns or message.role not in ("user", "assistant"):
            return None
        name = message.id or write.key
        turn = await self._store.take(end.user_id, end.session_id, message.role, message.content, name)
        if turn is None:
            return None
        shown = question_of(turn) if message.role == "user" else answer_of(turn)
        return shown and await self._stored_or(shown, turn)

    def _claim(self, end: SessionEnd, kept: Kept, message: NewMessage, question: Question, write: Write) -> Claim:
        model = self._catalog.find(message.model) if message.model else None
        return Claim(
            turn_id=new_id(),
            user_id=end.user_id,
            session_id=end.session_id,
            key=f"posted:{end.session_id}:{write.key}" if write.key else None,
            body_hash=_hash(message),
            owner=self.settings.reachable_at,
            correlation_id=write.correlation_id,
            traceparent=inject().get("traceparent"),
            model=model.name if model else message.model or "",
            provider=model.provider if model else self._catalog.usual_provider,
            project_id=kept.project_id or message.project_id,
            helper=kept.helper,
            question=question,
            state="posted",
            known_until=end.known_until,
            begins=end.kept is None and end.known_until is None,
        )

    async def _told(self, turn: Turn, end: SessionEnd, write: Write) -> tuple[HistoryMessage, int]:
        """Tell of a message, and wait a while until it is stored where it is read."""
        if write.wait_s <= 0:
            self._tell(turn, end)
            return question_of(turn), 202
        with self._receipts.expecting(turn.posted().event_id) as receipt:
            self._tell(turn, end)
            stored = await receipt.until(lambda: self._stored(turn, turn.question.message_id), write.wait_s)
        return (stored, 201) if stored else (question_of(turn), 202)

    def _tell(self, turn: Turn, end: SessionEnd) -> None:
        telling = self._telling.tell(turn, session=end.unstored)
        if end.is_known:
            telling.add_done_callback(lambda told: self.recent.keep(turn) if has_told(told) else None)

    async def _stored_or(self, shown: HistoryMessage, turn: Turn) -> HistoryMessage:
        return await self._stored(turn, shown.message_id) or shown

    async def _stored(self, turn: Turn, message_id: str) -> HistoryMessage | None:
        found = await self._queries.whole(turn.user_id, turn.session_id, [message_id])
        return found[0] if found else None


def _question(message: NewMessage, *, parent_id: str | None, is_edit: bool = False) -> Question:
    """Return the new message; an edit has an id of its own, and keeps its client's beside that."""
    return Question(
        message_id=message.id if message.id and not is_edit else str(new_id()),
        content=message.content,
        parts=message.parts or text_parts(message.content),
        parent_id=parent_id,
        client_message_id=message.id if is_edit else None,
        metadata=message.metadata,
        role=message.role,
    )


def _hash(message: NewMessage) -> bytes:
    """Hash what a key stands for; without the newer field where that says nothing, as gateways from before it do."""
    newer = set() if message.project_id else {"project_id"}
    return sha256(orjson.dumps(message.model_dump(exclude=newer), option=orjson.OPT_SORT_KEYS)).digest()


@router.post(
    PATH,
    status_code=201,
    responses={
        200: {"model": MessageAnswer, "description": "It was there already"},
        202: {"model": MessageAnswer, "description": "Accepted, and not stored yet"},
        **problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 429, 503),
    },
)
async def post_message(*, caller: CallerDep, session_id: SessionId, body: NewMessage, write: WriteDep) -> MessageAnswer:
    """Store a message that no turn stores; one that a turn has just stored is that one."""
    raise NotImplementedError("the door answers before any route")  # door.py: this is its description
