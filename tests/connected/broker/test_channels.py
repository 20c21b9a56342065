"""Channels that come and go leave nothing on a connection that stays."""

import gc

from aio_pika.abc import AbstractConnection
from aio_pika.tools import OneShotCallback

from shared import topology
from shared.broker.connection import open_connection
from shared.broker.declaring import Declaring, require
from shared.broker.wire import WiredConnection
from shared.consuming.queue_census import count_queue
from shared.consuming.subscription import subscribe
from shared.publishing.publisher import Publisher
from shared.settings import Settings

QUEUE = topology.LOGGER_CHAT


def callbacks() -> int:
    """Count what aio-pika has told a connection to call when it is lost."""
    gc.collect()
    return sum(isinstance(each, OneShotCallback) for each in gc.get_objects())


async def opened_and_closed(connection: AbstractConnection, publisher: Publisher) -> None:
    """Do whatever opens a channel again and again."""
    await Declaring().declare(connection)
    await require(connection, topology.EXCHANGES, topology.QUEUES)
    assert await count_queue(publisher, QUEUE.name) == (0, 0)
    async with subscribe(connection, QUEUE, prefetch=10):
        pass


async def test_channels_that_were_closed_leave_nothing_on_their_connection(
    settings: Settings, publisher: Publisher
) -> None:
    async with open_connection(settings, "test", Declaring().declare, WiredConnection) as connection:
        await opened_and_closed(connection, publisher)
        before = callbacks()
        for _ in range(20):
            await opened_and_closed(connection, publisher)
        assert callbacks() <= before
        assert connection.transport is not None
        assert len(connection.transport.connection._closing._callbacks) < 20  # type: ignore[attr-defined]
