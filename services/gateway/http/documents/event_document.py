"""Describe what goes over the broker, as AsyncAPI: who sends each event, and who receives it, on which queue.

As a program it prints that as JSON: the gateway has it do so, since FastStream, which it needs for nothing else, would
stay in its memory (`routes.py`). It is made of `shared/topology.py` with FastStream's objects, on a broker that is
never started: what it describes is sent by `shared/publishing/publisher.py`, and read by what is in
`shared/consuming`.
"""

import sys
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, cast

from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.specification import AsyncAPI
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from shared.events import EVENTS, OUTCOMES, AnyOutcome, Event, Outcome
from shared.topology import EVENTS_EXCHANGE, OUTCOMES_EXCHANGE, OUTCOMES_QUEUE, QUEUES, SENT_BY, Queue

_EVENTS = RabbitExchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True)
_OUTCOMES = RabbitExchange(OUTCOMES_EXCHANGE, ExchangeType.FANOUT, durable=True)


@cache
def event_document() -> ApplicationSchema:
    """Describe every event and outcome: `MessagePosted.gateway` is sent, `MessagePosted.logger.chat` received."""
    broker = RabbitBroker(
        description="Events between the services; outcomes for every gateway.",
        specification_url="amqp://broker/",  # the document is public, the broker's address is not
        logger=None,
    )
    for event in EVENTS:
        for sender in SENT_BY[event]:
            _sends(broker, event, sender)
    for queue in QUEUES:
        for event in queue.hears:
            _receives(broker, queue, event)
    for outcome in OUTCOMES:
        for sender in SENT_BY[outcome]:
            _announces(broker, outcome, sender)
    _hears_outcomes(broker)
    document = AsyncAPI(broker, title="Tripthread events", version="1.0.0").to_specification()
    return _sorted(cast(ApplicationSchema, document))


def _sorted(document: ApplicationSchema) -> ApplicationSchema:
    """FastStream keeps what it knows in no order; readers look for names."""
    channels, operations = sorted(document.channels.items()), sorted(document.operations.items())
    return document.model_copy(update={"channels": dict(channels), "operations": dict(operations)})


def _sends(broker: RabbitBroker, event: type[Event], sender: str) -> None:
    broker.publisher(
        exchange=_EVENTS,
        routing_key=event.routing_key(),
        persist=True,
        schema=event,
        title=f"{event.__name__}.{sender}",
        description=f"Sent by {sender}. {_doc(event)}",
    )


def _receives(broker: RabbitBroker, queue: Queue, event: type[Event]) -> None:
    arguments = ", ".join(f"`{name}: {value}`" for name, value in queue.arguments.items() if value != "")
    subscriber = broker.subscriber(
        RabbitQueue(queue.name, QueueType.QUORUM, durable=True, routing_key=event.routing_key()),
        _EVENTS,
        title=f"{event.__name__}.{queue.name}",
        description=f"Received by {queue.reader} from its queue `{queue.name}` ({arguments}). {_doc(event)}",
    )
    subscriber(_handler(event))


def _announces(broker: RabbitBroker, outcome: type[Outcome], sender: str) -> None:
    broker.publisher(
        exchange=_OUTCOMES,
        mandatory=False,
        schema=list[outcome],  # type: ignore[valid-type]  # the class is the point
        title=f"{outcome.__name__}.{sender}",
        description=f"Announced by {sender} after its commit, one list a commit. {_doc(outcome)}",
    )


def _hears_outcomes(broker: RabbitBroker) -> None:
    subscriber = broker.subscriber(
        RabbitQueue(OUTCOMES_QUEUE, exclusive=True, auto_delete=True),
        _OUTCOMES,
        title="outcomes.gateway",
        description="Received by every gateway, from a queue of its own: hints to look, where the row is the truth.",
    )
    subscriber(_handler(list[AnyOutcome]))


def _handler(body: Any) -> Callable[..., Awaitable[None]]:
    async def receive(message: body) -> None:
        """Say what is received; nobody calls this."""

    return receive


def _doc(described: type) -> str:
    return " ".join((described.__doc__ or "").split())


if __name__ == "__main__":
    sys.stdout.write(event_document().to_json())
