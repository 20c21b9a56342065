"""The whole topology, and the only place that names an exchange or a queue.

Every process declares all of it at start and after a reconnect, so nothing is published before every binding exists.
The same arguments behave alike on RabbitMQ 3.10 and 4.x.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

from shared.events import (
    ConsumerStarted,
    DeadLetterDropped,
    DeadLetterReplayed,
    Event,
    MessageAnswered,
    MessagePosted,
    ModelRegistered,
    Outcome,
    SessionTagged,
    Stored,
    TripAdvanced,
    TripAttached,
    TripRequested,
    WebhookReceived,
)

EVENTS_EXCHANGE = "events"  # topic, durable: facts
OUTCOMES_EXCHANGE = "outcomes"  # fanout, transient: hints for every gateway
OUTCOMES_QUEUE = "outcomes.{instance}"  # where each gateway's begins, which is gone with its connection
DEAD_QUEUE = "dead"

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
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": DEAD_QUEUE,
                "x-dead-letter-strategy": "at-least-once",
            }
        if self.single_active_consumer:
            arguments["x-single-active-consumer"] = True
        object.__setattr__(self, "arguments", arguments)

    @property
    def reader(self) -> str:
        """The service that consumes it."""
        return "logger" if self.name == DEAD_QUEUE else self.name.partition(".")[0]


LOGGER_CHAT = Queue("logger.chat", (MessagePosted, MessageAnswered, DeadLetterReplayed, DeadLetterDropped))
# A queue of its own, which a logger from before this event leaves alone; there it would be a dead letter itself.
LOGGER_CONSUMERS = Queue("logger.consumers", (ConsumerStarted,), single_active_consumer=True)
TAGGER_SESSIONS = Queue("tagger.sessions", (MessagePosted, ModelRegistered), single_active_consumer=True)
WORKFLOW_TRIPS = Queue("workflow.trips", (TripRequested, TripAttached), no_longer_hears=(MessagePosted,))
WORKFLOW_DELIVERIES = Queue("workflow.deliveries", (WebhookReceived,))
DEAD = Queue(DEAD_QUEUE, dead_letters=False)

QUEUES = (LOGGER_CHAT, LOGGER_CONSUMERS, TAGGER_SESSIONS, WORKFLOW_TRIPS, WORKFLOW_DELIVERIES, DEAD)


# Who says what; `tripthread` is the operators' command. A test holds it against the code.
SENT_BY: dict[type[Event] | type[Outcome], tuple[str, ...]] = {
    MessagePosted: ("gateway", "workflow"),
    MessageAnswered: ("gateway",),
    ModelRegistered: ("gateway",),
    TripRequested: ("gateway",),
    TripAttached: ("gateway",),
    WebhookReceived: ("gateway",),
    DeadLetterReplayed: ("gateway", "tripthread"),
    DeadLetterDropped: ("gateway", "tripthread"),
    ConsumerStarted: ("logger", "tagger", "workflow"),
    Stored: ("logger",),
    SessionTagged: ("tagger",),
    TripAdvanced: ("workflow",),
}


def knowledge(queues: Sequence[Queue] = QUEUES) -> str:
    """Return eight hex digits that differ between releases of which one may say what the other does not hear."""
    heard = "\n".join(sorted(f"{queue.name} {event.__name__}" for queue in queues for event in queue.hears))
    return sha256(heard.encode()).hexdigest()[:8]


async def declare(channel: AbstractChannel) -> None:
    """Declare every exchange, queue and binding, and take back the bindings of before; safe to repeat.

    Raises:
        ChannelPreconditionFailed: The broker has one of them with other arguments.
    """
    events = await channel.declare_exchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)
    await channel.declare_exchange(OUTCOMES_EXCHANGE, ExchangeType.FANOUT, durable=True)
    for queue in QUEUES:
        declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        for event in queue.hears:
            await declared.bind(events, event.routing_key())
        for event in queue.no_longer_hears:
            await declared.unbind(events, event.routing_key())
