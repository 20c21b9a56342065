"""Hear what the consumers have committed: every gateway has its own queue of hints, gone with its connection."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitMessage, RabbitQueue
from yarl import URL

from services.gateway.writes.receipts import Receipts
from shared.connection import HEARTBEAT_S
from shared.events import AnyOutcome
from shared.ids import new_id
from shared.settings import Settings
from shared.topology import OUTCOMES_EXCHANGE, OUTCOMES_QUEUE

RECONNECT_S = 1.0
PREFETCH = 100

Decode = Callable[[RabbitMessage], Awaitable[Any]]

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
            logger=None,
        )
        self._subscribe(settings)

    def _subscribe(self, settings: Settings) -> None:
        # A name of its own: a gateway that comes back must not find its queue held by the connection it has lost.
        name = f"{OUTCOMES_QUEUE.format(instance=settings.instance)}.{new_id().hex}"
        queue = RabbitQueue(name, exclusive=True, auto_delete=True)
        exchange = RabbitExchange(OUTCOMES_EXCHANGE, ExchangeType.FANOUT, durable=True)
        subscriber = self._broker.subscriber(
            queue,
            exchange,
            channel=Channel(prefetch_count=PREFETCH),
            ack_policy=AckPolicy.ACK_FIRST,  # a hint is worth no acknowledgement
            decoder=self._decode,
        )
        subscriber(self.hear)

    async def _decode(self, message: RabbitMessage, decode: Decode) -> Any:
        """Read what was committed where somebody waits; most are of chats, for whose outcomes nobody does."""
        return await decode(message) if self._receipts.are_awaited else []

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
        """Nothing: whatever keeps hints away keeps the broker away, which `away` says."""
        return None

    def away(self) -> str | None:
        """Say why no hints come now; None where they do."""
        connection = (
            self._broker._connection
        )  # what FastStream's own `ping` looks at, which is not for a probe like this
        return None if connection and connection.connected.is_set() else "not connected to the broker"

    def __str__(self) -> str:
        return "outcomes"
