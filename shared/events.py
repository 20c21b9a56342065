"""Every event: a fact in the past tense, published once, heard by the queues that `topology` binds to it.

The body is flat JSON; the AMQP message carries `event_id` as its message id and the class name as its type.
Contracts only grow: a new field has a default, readers ignore fields they do not know, and a changed meaning is
a new class. To add one, write the class here, add it to `EVENTS`, and bind it in `topology.py` to the queues that
hear it.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.errors import Undecodable, UnknownType
from shared.ids import CLIENT_ID, new_id, reserved_session
from shared.proposals.content import Content


def _storable(text: str) -> str:
    """Refuse what a PostgreSQL text can't hold; JSON decoding has refused lone surrogates already."""
    if "\x00" in text:
        raise ValueError("must not contain a NUL character")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_storable)]
ClientId = Annotated[str, StringConstraints(pattern=CLIENT_ID)]
Json = dict[str, Any]
# PostgreSQL stores a few more, but whoever reads them in Python fails.
Moment = Annotated[AwareDatetime, Field(ge=datetime(2, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC))]

# An amount of money, exactly; the bounds are what PostgreSQL's numeric can hold of it with ease.
Amount = Annotated[Decimal, Field(ge=0, max_digits=30, decimal_places=18)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]  # ISO 4217
W3cTraceId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

# RabbitMQ 4 takes no larger message; 3.10 does, and what its JSON unfolds to would end the process that reads it.
LARGEST_BODY = 16 * 1024 * 1024

Role = Literal["user", "assistant", "system", "tool"]
CancelReason = Literal["BY_CLIENT", "CHANGED", "BOOKED", "OTHER"]  # what Avinode takes
AnswerStatus = Literal["complete", "stopped", "interrupted", "failed"]
POSTED_RANK = -1  # any answer of the same id replaces what a client has stored for its assistant


def rank_of(status: AnswerStatus | str) -> int:
    """Rank an answer among those of one id and revision, of which the greatest is kept."""
    return 0 if status == "interrupted" else 1


class Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    event_id: UUID = Field(default_factory=new_id)
    correlation_id: UUID = Field(default_factory=new_id)  # the HTTP request, webhook or event that began it
    occurred_at: Moment = Field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    @cache
    def routing_key(cls) -> str:
        """Derive the key from the class name: `MessagePosted` is `message.posted`."""
        return re.sub(r"(?<!^)(?=[A-Z])", ".", cls.__name__).lower()

    def body(self) -> bytes:
        return self.model_dump_json().encode()


class SessionEvent(Event):
    """A fact about one session, whose identity is the pair of owner and session id."""

    user_id: Name
    session_id: ClientId
    # The database's clock when a gateway accepted it, of an answer when it accepted its question; none: see `accepted`.
    accepted_at: Moment | None = None

    @property
    def accepted(self) -> datetime:
        """When it was accepted: what was so before its user was erased comes to nothing."""
        return self.accepted_at or self.occurred_at

    @property
    def stamp(self) -> list[str]:
        """By what two changes of one field are told apart, the greater being the newer: so spelled, times sort."""
        return [self.accepted.astimezone(UTC).isoformat(timespec="microseconds"), str(self.event_id)]


class MessageEvent(SessionEvent):
    """A message, with what its session's row needs when this event is the first one to name it."""

    message_id: ClientId
    content: Text
    parts: tuple[Json, ...] = ()  # AI SDK UI message parts
    parent_id: ClientId | None = None
    turn_id: UUID | None = None
    created_at: Moment  # the message's place in its session; the database's clock at the claim
    model: Name | None = None
    provider: Name = "openai"
    project_id: Name | None = None
    helper: Name | None = None
    metadata: Json = Field(default_factory=dict)

    @property
    def accepted(self) -> datetime:
        """When it was accepted; by default its place, which is of that moment."""
        return self.accepted_at or self.created_at


class Client(BaseModel):
    """From where somebody said something, as little of it as is kept."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: Name | None = None  # the network of it: an IPv4 address' /24, an IPv6 address' /48
    user_agent: Name | None = None


class MessagePosted(MessageEvent):
    """Somebody other than the model said something: a user, the system, a tool, or a client for its assistant."""

    role: Role
    client_message_id: ClientId | None = None  # the client's own id, where an edit was stored under another
    client: Client | None = None  # none: nothing is kept of it, or no caller said this


class Trace(BaseModel):
    """One call of a model, in the terms of OpenTelemetry's GenAI conventions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trace_id: ClientId
    model: Name
    provider: Name
    upstream: Name | None = None  # which of the services that have the model was asked, the last one where several were
    status: Literal["running", "ok", "error", "stopped", "interrupted"]
    started_at: Moment
    ttft_ms: float | None = None  # time to the first token
    duration_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usage_source: Literal["reported", "estimated"] | None = None
    finish_reason: Text | None = None
    error: Text | None = None
    error_class: Name | None = None  # `error.type` of OpenTelemetry: one of few
    streaming: bool = True
    w3c_trace_id: W3cTraceId | None = None  # of the request; none where nobody records it
    cost: Amount | None = None  # by the prices that were configured then
    currency: Currency | None = None  # of the cost


class MessageAnswered(MessageEvent):
    """The model's answer to one turn, whole: what the caller was sent, and the trace of the call.

    Of several versions of one answer the greater (`revision`, finality) is kept, an interrupted one being not final.
    """

    attempt: int = Field(1, ge=1)
    revision: int = Field(0, ge=0)
    status: AnswerStatus
    error: Text | None = None
    trace: Trace | None = None  # none where the session's analytics are off
    # Hash of all that its client sent and of this answer, by which a client that knows no session goes on.
    conversation: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    rounds: tuple[Trace, ...] = ()  # of the model's calls before the one that the answer ended with

    @property
    def rank(self) -> int:
        return rank_of(self.status)

    @property
    def accepted(self) -> datetime:
        """When its question was accepted; an older gateway tells at most when it was put to the model."""
        return self.accepted_at or (self.trace.started_at if self.trace else self.created_at)


Milliseconds = Annotated[float, Field(ge=0, le=1e12)]  # thirty years
Tokens = Annotated[int, Field(ge=0, le=2**31 - 1)]  # what the column holds


class ReportedTrace(BaseModel):
    """One call of a model that an application outside made, as far as it tells."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    trace_id: ClientId
    source: Literal["api", "otlp"] = "api"
    w3c_trace_id: W3cTraceId | None = None
    session_id: ClientId | None = None  # which need not be there
    session_tag: Name | None = None
    experiment_name: Name | None = None
    helper: Name | None = None
    provider: Name | None = None
    model: Name
    upstream: Name | None = None
    status: Literal["running", "ok", "error", "stopped", "interrupted"]
    started_at: Moment
    ttft_ms: Milliseconds | None = None
    duration_ms: Milliseconds | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    usage_source: Literal["reported", "estimated"] | None = None
    finish_reason: Text | None = None
    error: Text | None = None
    error_class: Name | None = None
    streaming: bool = False
    cost: Amount | None = None
    currency: Currency | None = None
    attributes: Json = Field(default_factory=dict)


class TracesReported(Event):
    """An application outside told of calls of models that it made for this user.

    Of two reports of one trace the end says what is so, of two ends the newer by (accepted_at, event_id), and what it
    leaves out the other one says.
    """

    user_id: Name
    accepted_at: Moment  # the database's clock
    traces: tuple[ReportedTrace, ...] = Field(min_length=1, max_length=1000)

    @property
    def accepted(self) -> datetime:
        """When it was accepted: what was so before its user was erased comes to nothing."""
        return self.accepted_at


class SessionOpened(SessionEvent):
    """A user began a session before anything was said in it; what this leaves out it says nothing about.

    Of several openings of one session each field is the first one's that names it; whatever people changed and
    messages named stays.
    """

    accepted_at: Moment  # the database's clock, as of everything that is compared with it
    helper: Name | None = None
    project_id: Name | None = None
    model: Name | None = None
    provider: Name = "openai"
    title: Name | None = None
    experiment_name: Name | None = None
    analytics: bool = True
    template_id: UUID | None = None
    metadata: Json = Field(default_factory=dict)


class SessionChanged(SessionEvent):
    """A user set fields of a session, which may not be stored yet.

    Of each field the newest by (accepted_at, event_id) stands.
    """

    accepted_at: Moment  # the database's clock
    began_at: (
        Moment  # the session's beginning, as far as its sender knew: for the row, where this comes before all else
    )
    changed: tuple[Name, ...] = ()  # which of these are set; the others say nothing
    title: Name | None = None  # none: the automatic one
    pinned: bool = False
    archived: bool = False
    folder: Name | None = None
    labels: tuple[Name, ...] = ()
    analytics: bool = True
    experiment_name: Name | None = None
    metadata: Json = Field(default_factory=dict)
    ended_at: Moment | None = None  # none says nothing; a newer message begins the session again


class SessionTitled(SessionEvent):
    """A model has made a title of what a session began with; whatever its user sets or takes back counts more.

    Of two of one session the one that sorts last stands, whichever was heard first.
    """

    accepted_at: Moment  # of the question: the database's clock when a gateway accepted it
    title: Name  # in one line, without a mark around it


class SessionForked(SessionEvent):
    """A user began a new session, this one, with what was said in another one up to a message, along its branch."""

    accepted_at: Moment  # the database's clock
    source_id: ClientId  # the other session, of the same user
    message_id: ClientId  # the last that is taken along
    title: Name | None = None  # none: the other one's


class FeedbackGiven(SessionEvent):
    """A user said what they think of a message, which may not be stored yet.

    Of one message the newest by (accepted_at, event_id) stands.
    """

    accepted_at: Moment  # the database's clock
    message_id: ClientId
    value: Literal["up", "down"]
    comment: Text | None = None


class TemplateEvent(Event):
    user_id: Name
    template_id: UUID
    accepted_at: Moment  # the database's clock

    @property
    def accepted(self) -> datetime:
        """When it was accepted: what was so before its user was erased comes to nothing."""
        return self.accepted_at


class TemplateSaved(TemplateEvent):
    """A user saved what they begin sessions with, whole; the newest by (accepted_at, event_id) stands."""

    name: Name
    template: Json  # fields of `SessionOpened`


class TemplateDeleted(TemplateEvent):
    """A user deleted a template, for good."""


class SessionDeleted(SessionEvent):
    """A user deleted one of their sessions: it is gone for good, whatever of it comes late."""

    @property
    def deleted_at(self) -> datetime:
        return self.accepted


class UserErased(Event):
    """Everything of a user is to go that was accepted before this."""

    user_id: Name
    erased_at: Moment  # the database's clock


class ModelRegistered(Event):
    """An administrator or a gateway at its start made a model known; sessions of a tracked one get tags."""

    name: Name
    provider: Name
    tracked: bool = True
    only_if_new: bool = False  # the gateway's own word: a known model stays as its administrators want it


class ModelChanged(Event):
    """An administrator named a model for people, or had its sessions tagged, or no longer.

    Of each field the newest by (occurred_at, event_id) stands; of `tracked` registrations count, too.
    """

    name: Name  # with the provider, which model: these stay
    provider: Name
    changed: tuple[Name, ...] = ()  # which of these are set; the others say nothing
    display_name: Name | None = None  # none: as `name`
    tracked: bool = True


class TagBatchRequested(Event):
    """A user reserved sessions for a test of a model: each has its tag before anything is said in it."""

    user_id: Name
    accepted_at: Moment  # the database's clock
    batch_id: UUID  # from which the sessions' ids follow (`reserved_session` in ids.py)
    count: int = Field(ge=1, le=1000)
    name: Name  # with the provider, which model
    provider: Name
    experiment_name: Name | None = None

    @property
    def accepted(self) -> datetime:
        """When it was accepted: what was so before its user was erased comes to nothing."""
        return self.accepted_at

    def session_ids(self) -> list[str]:
        """Return the ids of its sessions, in the order of their numbers."""
        return [reserved_session(self.batch_id, place) for place in range(self.count)]


class Segment(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    from_icao: Annotated[str, StringConstraints(pattern=r"^[A-Z]{4}$")]
    to_icao: Annotated[str, StringConstraints(pattern=r"^[A-Z]{4}$")]
    date: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]  # local at the departure airport
    # The same; none: to be decided.
    time: Annotated[str, StringConstraints(pattern=r"^[0-9]{2}:[0-9]{2}$")] | None = None


class TripRequested(SessionEvent):
    """A user asked for a trip, which the workflow creates at Avinode once."""

    trip_id: UUID
    request_id: UUID
    segments: tuple[Segment, ...] = Field(min_length=1, max_length=20)
    pax: int = Field(ge=1, le=999)
    criteria: Json = Field(default_factory=dict)


class TripAttached(SessionEvent):
    """A user tied their session to a trip that is at Avinode already."""

    trip_id: UUID
    avinode_trip_id: Name  # either form: `atrip-123`, or the six-character code people see


class TripChanged(SessionEvent):
    """A user set fields of their session's trip; of two changes of one field the one that was accepted last stands."""

    trip_id: UUID
    changed: tuple[
        Literal["primary_quote_id", "avinode_rfp_id", "workflow_state", "metadata", "status"], ...
    ]  # what of the fields below is meant
    primary_quote_id: Name | None = None
    avinode_rfp_id: Name | None = None
    workflow_state: Json = Field(default_factory=dict)
    metadata: Json = Field(default_factory=dict)
    status: Literal["active", "paused"] = "active"


class TripClosed(SessionEvent):
    """A user is done with their session's trip, or wants it cancelled, which the workflow asks Avinode for."""

    trip_id: UUID
    outcome: Literal["completed", "cancelled"]
    reason: CancelReason = "OTHER"  # of a cancellation, as is the message, which operators get
    message: Annotated[str, StringConstraints(max_length=5000), AfterValidator(_storable)] | None = None


class TripRefreshRequested(SessionEvent):
    """A user wants their session's trip read at Avinode now."""

    trip_id: UUID


class TripReleased(Event):
    """An operator took a trip from users who were not to have it; they may not attach it again."""

    trip_id: UUID
    user_ids: tuple[Name, ...] = Field(
        min_length=1
    )  # who held it when the operator looked; whoever comes later keeps it
    operator: Name


class ProposalEvent(SessionEvent):
    """A fact about a proposal of the trip that this session is about."""

    accepted_at: Moment  # the database's clock
    trip_id: UUID
    proposal_id: UUID


class ProposalPrepared(ProposalEvent):
    """A user prepared a proposal from quotes, as these stood then."""

    content: Content


class ProposalChanged(ProposalEvent):
    """A user changed a proposal, whole, that was not sent; the newest by (accepted_at, event_id) stands."""

    content: Content


class ProposalSent(ProposalEvent):
    """A user sent a proposal: by hand, or to these, whom the workflow mails at most once."""

    to: tuple[Name, ...] = Field((), max_length=50)  # addresses; none: by hand
    subject: Name | None = None
    message: Text | None = None


class WebhookReceived(Event):
    """An outside system posted a notice; it is kept as it came and worked later."""

    delivery_id: UUID
    source: Name = "avinode"
    event_name: Name | None = None  # the last part of the path, where the sender was given one path an event
    headers: dict[str, str] = Field(default_factory=dict)  # the headers that matter, never credentials
    payload: bytes  # the raw body


class DeliveryReprocessed(Event):
    """An operator had a notice worked again, whatever became of it."""

    delivery_id: UUID
    operator: Name


class DeadLetterReplayed(Event):
    """An operator sent a parked message back to its queue."""

    dead_letter_id: UUID
    operator: Name
    arrivals: int = Field(1, ge=1)  # of the letter, when the operator looked: one more, and it was refused again


class DeadLetterDropped(Event):
    """An operator decided that a parked message is not worth anything."""

    dead_letter_id: UUID
    operator: Name


class ConversationRead(Event):
    """An administrator is about to be shown what somebody else said, or what quotes it: one owner's on one page.

    It is with the broker before the answer leaves, so an answer that came to nothing may have one, too.
    """

    operator: Name
    accepted_at: Moment  # the database's clock before it was read: of a user who was erased since, nothing is kept
    kind: Name  # of what: `messages`, `sessions`, `export`, ...
    user_id: Name | None = None  # whose; none: it names nobody
    items: int = Field(1, ge=1)  # how many of them
    query: Json = Field(default_factory=dict)  # what was asked for, and why: `reason`


class ConsumerStarted(Event):
    """A consumer has begun to read its queue, and says which events it hears there."""

    queue: Name
    hears: tuple[Name, ...]  # class names


EVENTS: tuple[type[Event], ...] = (
    MessagePosted,
    MessageAnswered,
    TracesReported,
    SessionOpened,
    SessionChanged,
    SessionTitled,
    SessionForked,
    FeedbackGiven,
    TemplateSaved,
    TemplateDeleted,
    SessionDeleted,
    UserErased,
    ModelRegistered,
    ModelChanged,
    TagBatchRequested,
    TripRequested,
    TripAttached,
    TripChanged,
    TripClosed,
    TripRefreshRequested,
    TripReleased,
    ProposalPrepared,
    ProposalChanged,
    ProposalSent,
    WebhookReceived,
    DeliveryReprocessed,
    DeadLetterReplayed,
    DeadLetterDropped,
    ConversationRead,
    ConsumerStarted,
)
_BY_NAME = {event.__name__: event for event in EVENTS}


def decode(name: str | None, body: bytes) -> Event:
    """Read one event from an AMQP message's type and body.

    Raises:
        UnknownType: We know no event of this type; a newer release may.
        Undecodable: There is no type, or the body is not such an event.
    """
    if not name:
        raise Undecodable("it does not say which event it is")
    event = _BY_NAME.get(name)
    if event is None:
        raise UnknownType(f"no event is called {name!r}")
    if len(body) > LARGEST_BODY:
        raise Undecodable(f"a body of {len(body)} bytes is no event")
    try:
        return event.model_validate_json(body)
    except ValidationError as error:
        raise Undecodable(_first_fault(error)) from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}"


class Outcome(BaseModel):
    """What a consumer has committed: a hint to look, where the row is the truth.

    Outcomes of one commit travel together, as one JSON list of `{"outcome": class name, ...}`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    user_id: Name
    session_id: ClientId | None = None
    causes: tuple[UUID, ...]  # the events that this answers, duplicates included


class Stored(Outcome):
    """What was said in this session, or done to it, is in `chat`."""

    outcome: Literal["Stored"] = "Stored"
    changed: tuple[str, ...] = ("messages",)  # what of it, in the words of `GET /api/events`


class SessionTagged(Outcome):
    """This session has its tag."""

    outcome: Literal["SessionTagged"] = "SessionTagged"
    session_tag: str


class TripAdvanced(Outcome):
    """Something about this session's trip changed."""

    outcome: Literal["TripAdvanced"] = "TripAdvanced"
    trip_id: UUID
    changed: tuple[str, ...] = ("trip",)  # what of it, in the words of `GET /api/events`


class SessionTouched(Outcome):
    """A gateway has itself changed what is shown of this session or, where none is named, of all of its user's."""

    outcome: Literal["SessionTouched"] = "SessionTouched"
    causes: tuple[UUID, ...] = ()
    changed: tuple[str, ...]  # what of it, in the words of `GET /api/events`


AnyOutcome = Annotated[Stored | SessionTagged | TripAdvanced | SessionTouched, Field(discriminator="outcome")]
OUTCOMES: tuple[type[Outcome], ...] = (Stored, SessionTagged, TripAdvanced, SessionTouched)
