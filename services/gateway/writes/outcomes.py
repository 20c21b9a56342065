"""Hear what the consumers have committed: every gateway has its own queue of hints, gone with its connection."""

import asyncio

import structlog
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.specification import AsyncAPI
from yarl import URL

from services.gateway.writes.receipts import Receipts
from shared.connection import HEARTBEAT_S
from shared.events import EVENTS, AnyOutcome, Event
from shared.ids import new_id
from shared.settings import Settings
from shared.topology import EVENTS_EXCHANGE, OUTCOMES_EXCHANGE

RECONNECT_S = 1.0
PREFETCH = 100

log = structlog.get_logger(__name__)


class Outcomes:
    """The worker that passes outcomes on to `receipts`, connecting again by itself whenever it must."""

    def __init__(self, settings: Settings, receipts: Receipts) -> None:
        self._receipts = receipts
        self._stopping = asyncio.Event()
        self._broker = RabbitBroker(
            URL(settings.amqp_url) % {"name": f"{settings.instance} outcomes", "heartbeat": HEARTBEAT_S},
            fail_fast=False,
            reconnect_interval=RECONNECT_S,
            description="Events between the services; outcomes for every gateway.",
            specification_url="amqp://broker/",  # the document is public, the broker's address is not
            logger=None,
        )
        self._subscribe(settings)
        for event in EVENTS:  # the gateway publishes every one
            self._describe(event)

    def _subscribe(self, settings: Settings) -> None:
        # A name of its own: a gateway that comes back must not find its queue held by the connection it has lost.
        queue = RabbitQueue(f"outcomes.{settings.instance}.{new_id().hex}", exclusive=True, auto_delete=True)
        exchange = RabbitExchange(OUTCOMES_EXCHANGE, ExchangeType.FANOUT, durable=True)
        subscriber = self._broker.subscriber(
            queue,
            exchange,
            channel=Channel(prefetch_count=PREFETCH),
            ack_policy=AckPolicy.ACK_FIRST,  # a hint is worth no acknowledgement
            title="outcomes",
            description="What consumers have committed: hints to look, one JSON list a commit.",
        )
        subscriber(self.hear)

    def _describe(self, event: type[Event]) -> None:
        """Put an event into the document; it is published by `shared.publisher`, whose promises FastStream has not."""
        self._broker.publisher(
            exchange=RabbitExchange(EVENTS_EXCHANGE, ExchangeType.TOPIC, durable=True),
            routing_key=event.routing_key(),
            persist=True,
            schema=event,
            title=event.__name__,
            description=event.__doc__,
        )

    async def hear(self, outcomes: list[AnyOutcome]) -> None:
        """Let everybody look who waits for one of these."""
        for outcome in outcomes:
            self._receipts.hint(outcome)

    async def run(self) -> None:
        starting = asyncio.create_task(self._broker.start())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                log.info("hearing outcomes")
            await stopping
        finally:
            starting.cancel()
            await self._broker.stop()

    def shut_down(self) -> None:
        self._stopping.set()

    def fault(self) -> str | None:
        connection = (
            self._broker._connection
        )  # what FastStream's own `ping` looks at, which is not for a probe like this
        return None if connection and connection.connected.is_set() else "not connected to the broker"

    def __str__(self) -> str:
        return "outcomes"

    def describe_events(self) -> AsyncAPI:
        """Describe every event that the gateway publishes, and the outcomes that it hears."""
        return AsyncAPI(self._broker, title="Tripthread events", version="1.0.0")
