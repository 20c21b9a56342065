"""Channels of aiormq's own, for whoever opens many in the life of one connection.

aio-pika 10.2 never takes back what a connection is to call when a channel of its is lost: aiormq 7.2 gives a new future
each time that it is asked for that. So each channel that was ever opened through aio-pika costs 3 kB for as long as the
connection lives, and we look for queues every few seconds.
"""

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel

from shared.broker.connection import Disconnected


async def open_channel(connection: AbstractConnection) -> AbstractChannel:
    """Open a channel without confirms; who opens it closes it.

    Raises:
        Disconnected: The connection was closed.
    """
    if connection.transport is None:
        raise Disconnected("the connection was closed")
    return await connection.transport.connection.channel(publisher_confirms=False)


@asynccontextmanager
async def passing_channel(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """Open a channel for a few questions, whatever becomes of them; a refusal closes it, too.

    Raises:
        Disconnected: The connection was closed.
    """
    channel = await open_channel(connection)
    try:
        yield channel
    finally:
        await channel.close()


@contextmanager
def ends_heard(channel: AbstractChannel, hear: Callable[[BaseException | None], None]) -> Iterator[None]:
    """Call `hear` when the channel has closed, or its connection, with the reason where there is one."""
    is_over = False

    def tell(end: "Future[Any]") -> None:
        if not is_over:
            hear(None if end.cancelled() else end.exception())

    ends = (channel.closing, channel.connection.closing)
    for end in ends:
        end.add_done_callback(tell)
    try:
        yield
    finally:
        is_over = True
        for end in ends:
            end.cancel()  # it observes and no more: nothing else ends by that
