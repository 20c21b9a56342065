"""One queue's deliveries on one channel: in the order of their tags, acknowledged on the channel that brought them.

RabbitMQ numbers the deliveries of a channel 1, 2, 3, and `ack(T, multiple)` settles every one up to T. That is only
right if nothing up to T is still open, so a subscription has its own channel with one consumer, and every delivery
keeps its place in the buffer. When the channel goes, the buffer is worth nothing: the broker delivers all of it again.

Deliveries and acknowledgements go by the wire itself (`broker/wire.py`): aiormq takes three frames, their decoding and
a task for each message, which was a sixth of what the logger took for one. What else a channel says is aiormq's.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from struct import Struct

import aiormq.abc
import pamqp.frame
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.exceptions import ChannelClosed, InvalidFrameError

from shared.broker.channels import ends_heard, open_channel
from shared.broker.connection import (
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    Disconnected,
    describe,
    disconnections,
)
from shared.broker.deliveries import Deliveries
from shared.broker.wire import Wire, wire_of
from shared.consuming.unreadable import readable_properties
from shared.topology import Queue

GROUP_BYTES = 8_000_000  # no group takes more once it is larger: 500 long answers would be half a gigabyte of SQL


_CONSUMER_TAG = 4  # where it begins in the method `basic.deliver`, with its length
_TAG = Struct(">QB")  # what follows it: the delivery's own tag, and whether it was delivered before


class Delivery:
    """One message as the broker delivered it.

    It has the names of aio-pika's IncomingMessage, whose construction alone costs a quarter of the time that a
    message takes (16 of 67 microseconds).
    """

    __slots__ = ("_header", "_read", "arrived_at", "body", "delivery_tag", "redelivered")

    def __init__(self, method: bytes, header: bytes, body: bytes) -> None:
        self.delivery_tag, redelivered = _TAG.unpack_from(method, _CONSUMER_TAG + 1 + method[_CONSUMER_TAG])
        self.redelivered = bool(redelivered)
        self._header = header
        self._read: spec.Basic.Properties | None = None
        self.body = body
        self.arrived_at = time.monotonic()

    @property
    def _properties(self) -> spec.Basic.Properties:
        if self._read is None:
            self._read = readable_properties(self._header)
        return self._read

    @property
    def type(self) -> str | None:
        """The event's class name."""
        return self._properties.message_type

    @property
    def message_id(self) -> str | None:
        """The event's id."""
        return self._properties.message_id

    @property
    def correlation_id(self) -> str | None:
        return self._properties.correlation_id

    @property
    def headers(self) -> dict[str, object]:
        return dict(self._properties.headers or {})


class Subscription:
    """What has arrived on one channel and is not taken yet."""

    def __init__(self, channel: aiormq.abc.AbstractChannel, wire: Wire) -> None:
        self._channel = channel
        self._wire = wire
        self._buffer: deque[Delivery] = deque()
        self._last_tag = 0
        self._settled_tag = 0  # it, and all before it
        self._rejected: set[int] = set()  # tags after that which are settled too
        self._news = asyncio.Event()
        self._lost: BaseException | None = None
        self._consumer_tag = ""
        self.ended = False  # nothing more will arrive, the buffer being good still
        self.dropped = False  # and that was not our wish

    async def start(self, queue: str, prefetch: int) -> None:
        """Begin to consume."""
        self._channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        with disconnections():
            await self._channel.basic_qos(prefetch_count=prefetch, timeout=CONNECT_TIMEOUT_S)
            self._wire.take(self._channel.number, Deliveries(self._on_delivery).take)
            consuming = await self._channel.basic_consume(queue, _never, timeout=CONNECT_TIMEOUT_S)
        self._consumer_tag = consuming.consumer_tag or ""

    def _on_delivery(self, method: bytes, header: bytes, body: bytes) -> None:
        # For every message: nothing but what cannot be done later.
        delivery = Delivery(method, header, body)
        if delivery.delivery_tag != self._last_tag + 1:
            self._lose(InvalidFrameError(f"delivery {delivery.delivery_tag} came after {self._last_tag}"))
        self._last_tag = delivery.delivery_tag
        self._buffer.append(delivery)
        self._news.set()

    def _on_cancelled(self, _frame: spec.Basic.Cancel) -> None:
        self.ended = self.dropped = True
        self._news.set()

    def close_seen(self, error: BaseException | None) -> None:
        """Take note that the channel has closed, whoever did that."""
        self._lose(error or ChannelClosed("closed"))

    def _lose(self, error: BaseException) -> None:
        """Forget everything: the broker will deliver it again, to another channel."""
        if self._lost is None:
            self._lost = error
            self._buffer.clear()
            self._news.set()

    def wake(self) -> None:
        """Let `wait` return, for a reason of the caller's."""
        self._news.set()

    async def wait(self, longest_s: float) -> bool:
        """Wait until there may be something new; False says that nothing was for so long."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                return await self._news.wait()
        return False

    def take(self, most: int) -> list[Delivery]:
        """Take the oldest deliveries, at most so many and `GROUP_BYTES`; none where nothing has arrived.

        Raises:
            Disconnected: The channel is gone, and with it everything that was not acknowledged.
        """
        self._check()
        group: list[Delivery] = []
        size = 0
        while self._buffer and len(group) < most and size < GROUP_BYTES:
            group.append(self._buffer.popleft())
            size += len(group[-1].body)
        return group

    async def ack_up_to(self, tag: int) -> None:
        """Acknowledge everything up to this tag, all of which must be settled.

        Raises:
            Disconnected: The channel is gone; the broker will deliver it again.
        """
        self._check()
        if self._wire.is_closing:
            raise Disconnected("the connection was closed")
        # The broker closes the channel of whoever names a tag that is settled already.
        newest_open = tag
        while newest_open in self._rejected:
            newest_open -= 1
        if newest_open > self._settled_tag:
            self._wire.write(pamqp.frame.marshal(spec.Basic.Ack(newest_open, multiple=True), self._channel.number))
        self._settled_tag = tag
        self._rejected.clear()

    async def reject(self, delivery: Delivery) -> None:
        """Let the broker dead-letter this one."""
        self._check()
        self._wire.flush()  # acknowledgements first, in the order in which they were given
        with disconnections():
            await self._channel.basic_reject(delivery.delivery_tag, requeue=False)
        self._rejected.add(delivery.delivery_tag)

    async def cancel(self) -> None:
        """Ask for no more; what has arrived before the answer stays in the buffer."""
        if not self.ended:
            with disconnections():
                await self._channel.basic_cancel(self._consumer_tag, timeout=CLOSE_TIMEOUT_S)
            self.ended = True

    @property
    def oldest_arrived_at(self) -> float | None:
        return self._buffer[0].arrived_at if self._buffer else None

    def _check(self) -> None:
        if self._lost is not None:
            raise Disconnected(describe(self._lost)) from self._lost


@asynccontextmanager
async def subscribe(connection: AbstractConnection, queue: Queue, prefetch: int) -> AsyncIterator[Subscription]:
    """Consume a declared queue on a channel of its own of a `WiredConnection`, and close that in good order.

    Raises:
        Disconnected: The connection is gone, or the queue.
    """
    with disconnections():
        channel = await open_channel(connection)
    wire = wire_of(connection)
    subscription = Subscription(channel, wire)
    try:
        with ends_heard(channel, subscription.close_seen):
            await subscription.start(queue.name, prefetch)
            yield subscription
    finally:
        # Before the connection: its answer says that the broker has read every acknowledgement.
        wire.flush()
        with suppress(Disconnected), disconnections():
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await channel.close()
        wire.leave(channel.number)


async def _never(_: aiormq.abc.DeliveredMessage) -> None:
    """Stand where deliveries would go that nobody takes before."""
