"""Making what is missing of the topology, and waiting for it."""

from collections.abc import Iterable

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from shared.broker.channels import passing_channel
from shared.topology import DEAD, DEAD_EXCHANGE, EVENTS_EXCHANGE, EXCHANGES, QUEUES, REPLAYS_EXCHANGE, Queue


class Declaring:
    """Makes exchanges, queues and bindings, and takes back the bindings of before; safe to repeat.

    It remembers what it found: a queue that an earlier release has made keeps its arguments, and the broker closes the
    channel of whoever names others.
    """

    def __init__(self) -> None:
        self._shape = 0  # all queues have been made by one release, mostly

    async def declare(self, connection: AbstractConnection) -> None:
        """Make whatever is missing.

        Raises:
            ChannelPreconditionFailed: The broker has something of another shape than any release made it with.
        """
        async with passing_channel(connection) as channel:
            for name, kind in EXCHANGES.items():
                await channel.exchange_declare(name, exchange_type=kind.value, durable=True)
            for queue in QUEUES:
                await self.declare_queue(connection, queue)
                await _bind(channel, queue)

    async def declare_queue(self, connection: AbstractConnection, queue: Queue) -> None:
        """Make one queue, or see that it is of a shape that we know.

        Raises:
            ChannelPreconditionFailed: It is not.
        """
        if len(queue.shapes) == 1 or (self._shape and not await _exists(connection, queue)):
            return await _declare(connection, queue, 0)
        # One that is missing is made of the newest shape: another is tried first only where there is a queue.
        refusals: dict[int, ChannelPreconditionFailed] = {}
        for shape in sorted(range(len(queue.shapes)), key=lambda shape: shape != self._shape):
            try:
                await _declare(connection, queue, shape)
            except ChannelPreconditionFailed as error:
                refusals[shape] = error
            else:
                self._shape = shape
                return None
        raise refusals[0]


async def require(connection: AbstractConnection, exchanges: Iterable[str] = (), queues: Iterable[Queue] = ()) -> None:
    """Return where these are there, which takes no right at all.

    Raises:
        ChannelNotFoundEntity: One is missing.
    """
    async with passing_channel(connection) as channel:
        for name in exchanges:
            await channel.exchange_declare(name, exchange_type=EXCHANGES[name].value, durable=True, passive=True)
        for queue in queues:
            await channel.queue_declare(queue.name, passive=True)


async def _exists(connection: AbstractConnection, queue: Queue) -> bool:
    try:
        await require(connection, queues=(queue,))
    except ChannelNotFoundEntity:
        return False
    return True


async def _declare(connection: AbstractConnection, queue: Queue, shape: int) -> None:
    """Declare it on a channel of its own, since a refusal closes it."""
    async with passing_channel(connection) as channel:
        await channel.queue_declare(queue.name, durable=True, arguments=dict(queue.shapes[shape]))


async def _bind(channel: AbstractChannel, queue: Queue) -> None:
    if queue is DEAD:
        await channel.queue_bind(queue.name, DEAD_EXCHANGE, queue.name)
        return
    await channel.queue_bind(queue.name, REPLAYS_EXCHANGE, queue.name)
    for key in (*(event.routing_key() for event in queue.hears), *queue.hears_by):
        await channel.queue_bind(queue.name, EVENTS_EXCHANGE, key)
    for event in queue.no_longer_hears:
        await channel.queue_unbind(queue.name, EVENTS_EXCHANGE, event.routing_key())
