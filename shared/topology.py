"""The whole topology, the only place that names an exchange or a queue; and so who may do what on the broker.

`migrate` and every gateway make what is missing of it (`broker/declaring.py`); the others wait until it is there, so
nothing is published before every binding exists. The same arguments behave alike on RabbitMQ 3.10 and 4.x.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aio_pika import ExchangeType

from shared.events import (
    ConsumerStarted,
    ConversationRead,
    DeadLetterDropped,
    DeadLetterReplayed,
    DeliveryReprocessed,
    Event,
    FeedbackGiven,
    MessageAnswered,
    MessagePosted,
    ModelChanged,
    ModelRegistered,
    Outcome,
    ProposalChanged,
    ProposalPrepared,
    ProposalSent,
    SessionChanged,
    SessionDeleted,
    SessionForked,
    SessionOpened,
    SessionTagged,
    SessionTitled,
    SessionTouched,
    Stored,
    TagBatchRequested,
    TemplateDeleted,
    TemplateSaved,
    TracesReported,
    TripAdvanced,
    TripAttached,
    TripChanged,
    TripClosed,
    TripRefreshRequested,
    TripReleased,
    TripRequested,
    UserErased,
    WebhookReceived,
)

EVENTS_EXCHANGE = "events"  # facts
OUTCOMES_EXCHANGE = "outcomes"  # transient hints for every gateway
OUTCOMES_QUEUE = "outcomes.{instance}"  # where each gateway's begins, which is gone with its connection
DEAD_EXCHANGE = DEAD_QUEUE = "dead"  # what can never be processed, and where it waits for the logger
REPLAYS_EXCHANGE = "replays"  # back to the one queue that the routing key names

EXCHANGES = {
    EVENTS_EXCHANGE: ExchangeType.TOPIC,
    OUTCOMES_EXCHANGE: ExchangeType.FANOUT,
    DEAD_EXCHANGE: ExchangeType.FANOUT,
    REPLAYS_EXCHANGE: ExchangeType.DIRECT,
}

# By this key goes the `MessagePosted` of a session that has its tag: whoever hears `message.#` hears it, but it is no
# news to the tagger, which would be woken by four of five questions for nothing.
QUESTION_OF_TAGGED = "message.posted.tagged"

# A consumer never requeues, so only a process that dies with the message counts; 4.x would stop at 20.
DELIVERY_LIMIT = 100
NO_LIMIT = 1_000_000_000  # 3.10 knows no -1, and 4.x drops after 20 what has no dead-letter exchange


@dataclass(frozen=True)
class Queue:
    """A durable quorum queue and the events bound to it."""

    name: str
    hears: tuple[type[Event], ...] = ()
    # A binding outlives the code that made it: what the queue once heard is unbound, and acknowledged where it waits.
    no_longer_hears: tuple[type[Event], ...] = ()
    hears_by: tuple[str, ...] = ()  # further routing keys of events that it hears
    single_active_consumer: bool = False
    dead_letters: bool = True  # what is rejected, or delivered too often, goes to `dead`
    arguments: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
        if not self.dead_letters:
            arguments["x-delivery-limit"] = NO_LIMIT
        else:
            arguments |= {
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_EXCHANGE,
                "x-dead-letter-routing-key": DEAD_QUEUE,
                "x-dead-letter-strategy": "at-least-once",
            }
        if self.single_active_consumer:
            arguments["x-single-active-consumer"] = True
        object.__setattr__(self, "arguments", arguments)

    @property
    def shapes(self) -> tuple[dict[str, Any], ...]:
        """What its arguments may be: a queue keeps those it was made with. The first are for one that is missing."""
        if not self.dead_letters:
            return (self.arguments,)
        # Until 2026-11-29 dead letters went by the default exchange, to the same queue.
        return self.arguments, self.arguments | {"x-dead-letter-exchange": ""}

    @property
    def reader(self) -> str:
        """The service that consumes it."""
        return "logger" if self.name == DEAD_QUEUE else self.name.partition(".")[0]


LOGGER_CHAT = Queue(
    "logger.chat",
    (
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
        DeadLetterReplayed,
        DeadLetterDropped,
        ConversationRead,
    ),
    hears_by=(QUESTION_OF_TAGGED,),
)
# A queue of its own, which a logger from before this event leaves alone; there it would be a dead letter itself.
LOGGER_CONSUMERS = Queue("logger.consumers", (ConsumerStarted,), single_active_consumer=True)
TAGGER_SESSIONS = Queue(
    "tagger.sessions",
    (MessagePosted, ModelRegistered, ModelChanged, TagBatchRequested, SessionDeleted, UserErased),
    single_active_consumer=True,
)
WORKFLOW_TRIPS = Queue(
    "workflow.trips",
    (
        TripRequested,
        TripAttached,
        TripChanged,
        TripClosed,
        TripRefreshRequested,
        TripReleased,
        ProposalPrepared,
        ProposalChanged,
        ProposalSent,
        SessionDeleted,
        UserErased,
    ),
    no_longer_hears=(MessagePosted,),
)
WORKFLOW_DELIVERIES = Queue("workflow.deliveries", (WebhookReceived, DeliveryReprocessed))
DEAD = Queue(DEAD_QUEUE, dead_letters=False)

QUEUES = (LOGGER_CHAT, LOGGER_CONSUMERS, TAGGER_SESSIONS, WORKFLOW_TRIPS, WORKFLOW_DELIVERIES, DEAD)


# Who says what; `tripthread` is the operators' command. A test holds it against the code.
SENT_BY: dict[type[Event] | type[Outcome], tuple[str, ...]] = {
    MessagePosted: ("gateway", "workflow"),
    MessageAnswered: ("gateway",),
    TracesReported: ("gateway",),
    SessionOpened: ("gateway",),
    SessionChanged: ("gateway",),
    SessionTitled: ("gateway",),
    SessionForked: ("gateway",),
    FeedbackGiven: ("gateway",),
    TemplateSaved: ("gateway",),
    TemplateDeleted: ("gateway",),
    SessionDeleted: ("gateway",),
    UserErased: ("gateway",),
    ModelRegistered: ("gateway",),
    ModelChanged: ("gateway",),
    TagBatchRequested: ("gateway",),
    TripRequested: ("gateway",),
    TripAttached: ("gateway",),
    TripChanged: ("gateway",),
    TripClosed: ("gateway",),
    TripRefreshRequested: ("gateway",),
    TripReleased: ("tripthread",),
    ProposalPrepared: ("gateway",),
    ProposalChanged: ("gateway",),
    ProposalSent: ("gateway",),
    WebhookReceived: ("gateway",),
    DeliveryReprocessed: ("gateway",),
    DeadLetterReplayed: ("gateway", "tripthread"),
    DeadLetterDropped: ("gateway", "tripthread"),
    ConversationRead: ("gateway",),
    ConsumerStarted: ("logger", "tagger", "workflow"),
    Stored: ("logger",),
    SessionTagged: ("tagger",),
    TripAdvanced: ("workflow",),
    SessionTouched: ("gateway",),
}


def knowledge(queues: Sequence[Queue] = QUEUES) -> str:
    """Return eight hex digits that differ between releases of which one may say what the other does not hear."""
    heard = "\n".join(sorted(f"{queue.name} {event.__name__}" for queue in queues for event in queue.hears))
    return sha256(heard.encode()).hexdigest()[:8]


# Who says an event by another key than its own.
SENT_BY_KEY = {QUESTION_OF_TAGGED: ("gateway",)}
# Who sends a dead letter back: an operator by a gateway, and the logger by itself.
REPLAYED_BY = ("gateway", "logger")
# Who makes what is missing, the administrator aside.
MADE_BY = "gateway"
LOGINS = ("gateway", "logger", "tagger", "workflow")

NOTHING = "^$"


@dataclass(frozen=True)
class Rights:
    """What one login may do, as RabbitMQ takes it: patterns of the names of exchanges and queues, which it tells not
    apart; and patterns of routing keys on `events`.
    """

    configure: str  # make and delete
    write: str  # publish to an exchange, bind a queue
    read: str  # consume a queue, bind to an exchange
    events_written: str
    events_read: str


def rights_of(service: str) -> Rights:
    """Derive what a service's login may do from what it sends, reads and makes."""
    sent = [event for event, senders in SENT_BY.items() if service in senders]
    keys = [event.routing_key() for event in sent if issubclass(event, Event)]
    keys += [key for key, senders in SENT_BY_KEY.items() if service in senders]
    read = [queue for queue in QUEUES if queue.reader == service]
    exchanges = {EVENTS_EXCHANGE} if keys else set()
    if any(issubclass(event, Outcome) for event in sent):
        exchanges.add(OUTCOMES_EXCHANGE)
    if any(queue.dead_letters for queue in read):
        exchanges.add(DEAD_EXCHANGE)
    if service in REPLAYED_BY:
        exchanges.add(REPLAYS_EXCHANGE)
    queues = {queue.name for queue in read}
    if service != MADE_BY:
        return Rights(NOTHING, _names(exchanges), _names(queues), _names(keys), NOTHING)
    # Whoever makes a queue that has dead letters must be allowed to read it, and to write to where they go.
    everything = {*EXCHANGES, *(queue.name for queue in QUEUES)}
    hints = re.escape(OUTCOMES_QUEUE.format(instance="")) + ".+"  # each gateway's own queue, which it alone may use
    written = (everything - {OUTCOMES_EXCHANGE}) | exchanges
    return Rights(_names(everything, hints), _names(written, hints), _names(everything, hints), _names(keys), ".*")


def _names(names: Iterable[str], *patterns: str) -> str:
    """Make the pattern of exactly these."""
    either = "|".join([*map(re.escape, sorted(names)), *patterns])
    return f"^({either})$" if either else NOTHING
