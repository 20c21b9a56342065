"""The FastStream broker of one connection: one handler of one queue, and what surrounds it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from faststream.rabbit.opentelemetry import RabbitTelemetryMiddleware
from faststream.rabbit.prometheus import RabbitPrometheusMiddleware
from prometheus_client import REGISTRY

from shared.broker.connection import (
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    HEARTBEAT_S,
    Disconnected,
    close_connection,
    describe,
    disconnections,
)
from shared.consuming.settling import Settling, decoder_of, parse
from shared.consuming.unreadable import FRAME_ERRORS, be_careful
from shared.events import Event, Outcome
from shared.settings import Settings
from shared.topology import Queue

# Until aio-pika tries again, where we do not: after a message that nobody can read, and a consumer that was cancelled.
RECONNECT_S = 0.5

# Hears one event, in one transaction that is safe to repeat, and returns the outcomes to announce.
Hear = Callable[[Event], Awaitable[Sequence[Outcome]]]


def make_broker(settings: Settings, queue: Queue, hear: Hear, settling: Settling) -> RabbitBroker:
    """Make a broker that is not connected yet; it looks for the queue, and declares nothing."""
    name = f"{settings.instance} {queue.name}"
    broker = RabbitBroker(
        str(make_url(settings.amqp_url, heartbeat=HEARTBEAT_S, name=name)),
        timeout=CONNECT_TIMEOUT_S,
        reconnect_interval=RECONNECT_S,
        on_close=[lambda connection, error: _closed(settling, connection, error)],
        middlewares=(*_observers(), settling),
        parser=parse,
        decoder=decoder_of(queue),
        ack_policy=AckPolicy.MANUAL,
        graceful_timeout=None,  # `Settling.close` has waited
        apply_types=False,
        logger=None,
    )
    channel = Channel(prefetch_count=settings.prefetch, publisher_confirms=False)
    there = RabbitQueue(queue.name, declare=False)
    broker.subscriber(there, channel=channel, no_reply=True)(hear)  # a stranger may ask for a reply
    return broker


async def stop_broker(broker: RabbitBroker, connection: AbstractConnection | None) -> None:
    """Cancel the consumer, close its channel, and the connection, which must not go on mending itself."""
    is_open = connection is not None and connection.connected.is_set()
    closings: list[Callable[[], Awaitable[None]]] = [broker.stop]
    if connection is not None:
        closings.append(connection.close)
    for close in closings if is_open else reversed(closings):  # what is lost would be waited for
        # FastStream groups what it met when it cancelled its consumer: the connection was lost just then.
        with suppress(Disconnected, TimeoutError, ExceptionGroup), disconnections():
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await close()


@cache
def _observers() -> tuple[Any, ...]:
    """Make FastStream's own middlewares, once a process: its metrics may be registered only once."""
    return RabbitTelemetryMiddleware(), RabbitPrometheusMiddleware(registry=REGISTRY, app_name="tripthread")


def _closed(settling: Settling, connection: AbstractConnection, error: BaseException | None) -> None:
    """See that a connection has closed: it is given up, or becomes careful, where a message is why."""
    if isinstance(error, FRAME_ERRORS):
        be_careful(connection)
        return
    lost = Disconnected(describe(error))
    lost.__cause__ = error
    settling.give_up(lost)
    # Here, since nobody else has it where its first channel was refused: it would go on mending itself for ever.
    ending = asyncio.ensure_future(close_connection(connection))
    _ending.add(ending)
    ending.add_done_callback(_ending.discard)


_ending: set[asyncio.Future[None]] = set()
