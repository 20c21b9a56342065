"""A subscription settles tags on the channel that delivered them, and nothing that it has not seen in order."""

import asyncio
from collections.abc import Callable
from typing import Any

import pamqp.frame
import pytest
from aiormq import spec
from aiormq.exceptions import ChannelClosed
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from shared.broker.connection import Disconnected
from shared.consuming.subscription import Subscription
from shared.consuming.unreadable import UNREADABLE
from tests.stand_ins.wires import FakeWire

NOTHING = (b"", b"")


class FakeChannel:
    """Remembers what was settled on it, or on its wire."""

    number = 3

    def __init__(self) -> None:
        self.wire = FakeWire()
        self.on_consumer_cancel_callbacks: set[Callable[..., Any]] = set()
        self.rejections: list[int] = []

    @property
    def acks(self) -> list[tuple[int, bool]]:
        acks = [frame for frame in self.wire.written if isinstance(frame, spec.Basic.Ack)]
        return [(ack.delivery_tag or 0, ack.multiple) for ack in acks]

    async def basic_qos(self, **_: Any) -> None:
        pass

    async def basic_consume(self, _queue: str, _deliver: Callable[..., Any], **_: Any) -> spec.Basic.ConsumeOk:
        return spec.Basic.ConsumeOk("tag")

    async def basic_reject(self, tag: int, **_: Any) -> None:
        self.rejections.append(tag)


async def subscribed() -> tuple[FakeChannel, Subscription]:
    channel = FakeChannel()
    subscription = Subscription(channel, channel.wire)  # type: ignore[arg-type]  # the part of a channel that it uses
    await subscription.start("queue", 10)
    return channel, subscription


def deliver(channel: FakeChannel, *tags: int, redelivered: bool = False, spoilt: tuple[bytes, bytes] = NOTHING) -> None:
    for tag in tags:
        properties = spec.Basic.Properties(message_type="Said", message_id=str(tag), headers={"traceparent": "00"})
        frames = (
            spec.Basic.Deliver("a consumer", tag, redelivered, "events", "message.posted"),
            ContentHeader(body_size=4, properties=properties),
            ContentBody(b"body"),
        )
        said = b"".join(pamqp.frame.marshal(frame, channel.number) for frame in frames)
        channel.wire.data_received(said.replace(*spoilt))


async def test_deliveries_are_taken_in_the_order_of_their_tags() -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1, 2, 3)

    taken = subscription.take(2) + subscription.take(2)

    assert [delivery.delivery_tag for delivery in taken] == [1, 2, 3]
    assert subscription.take(2) == []


async def test_a_delivery_has_what_was_sent() -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1)
    deliver(channel, 2, redelivered=True)

    first, second = subscription.take(2)

    assert (first.type, first.message_id, first.correlation_id) == ("Said", "1", None)
    assert (first.headers, first.body, first.redelivered) == ({"traceparent": "00"}, b"body", False)
    assert (second.message_id, second.delivery_tag, second.redelivered) == ("2", 2, True)


@pytest.mark.parametrize(
    ("spoilt", "readable"),
    [((b"\x04Said", b"\x04\xff\xfeid"), False), ((b"message.posted", b"\xff" * 14), True)],
    ids=["type", "route"],
)
async def test_what_cannot_be_read_costs_neither_its_body_nor_its_neighbours(
    spoilt: tuple[bytes, bytes], *, readable: bool
) -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1, spoilt=spoilt)
    deliver(channel, 2)

    first, second = subscription.take(2)

    assert (first.body, first.type) == (b"body", "Said" if readable else None)
    assert (UNREADABLE in first.headers) is not readable
    assert second.type == "Said"


async def test_nothing_is_acknowledged_on_a_connection_that_was_closed() -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1)
    channel.wire.transport.closing = True

    with pytest.raises(Disconnected):
        await subscription.ack_up_to(1)


async def test_an_acknowledgement_is_cumulative() -> None:
    channel, subscription = await subscribed()

    await subscription.ack_up_to(7)

    assert channel.acks == [(7, True)]


@pytest.mark.parametrize(
    ("rejected", "acknowledged"), [([2], [3]), ([3], [2]), ([2, 3], [1]), ([1, 2, 3], [])], ids=str
)
async def test_a_rejected_delivery_is_never_acknowledged_by_name(rejected: list[int], acknowledged: list[int]) -> None:
    """RabbitMQ closes the channel of whoever acknowledges up to a tag that is settled already."""
    channel, subscription = await subscribed()
    deliver(channel, 1, 2, 3, 4)
    group = subscription.take(3)
    for delivery in group:
        if delivery.delivery_tag in rejected:
            await subscription.reject(delivery)

    await subscription.ack_up_to(3)
    await subscription.ack_up_to(4)

    assert channel.rejections == rejected
    assert channel.acks == [(tag, True) for tag in [*acknowledged, 4]]


async def test_one_rejected_delivery_after_the_other_leaves_nothing_to_acknowledge() -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1, 2, 3)

    for delivery in subscription.take(2):
        await subscription.reject(delivery)
        await subscription.ack_up_to(delivery.delivery_tag)
    await subscription.ack_up_to(3)

    assert channel.acks == [(3, True)]


@pytest.mark.parametrize("tags", [(2,), (1, 3), (1, 1), (1, 2, 1)])
async def test_a_gap_in_the_tags_ends_the_subscription(tags: tuple[int, ...]) -> None:
    channel, subscription = await subscribed()
    deliver(channel, *tags)

    with pytest.raises(Disconnected, match="came after"):
        subscription.take(10)
    with pytest.raises(Disconnected):
        await subscription.ack_up_to(1)
    assert channel.acks == []


async def test_a_closed_channel_takes_its_deliveries_with_it() -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1, 2)
    subscription.close_seen(ChannelClosed(320, "gone"))

    with pytest.raises(Disconnected, match="gone"):
        subscription.take(10)
    with pytest.raises(Disconnected, match="gone"):
        await subscription.ack_up_to(2)
    assert channel.acks == []


async def test_a_cancelled_consumer_keeps_what_has_arrived() -> None:
    channel, subscription = await subscribed()
    deliver(channel, 1, 2)
    for cancelled in channel.on_consumer_cancel_callbacks:
        cancelled(spec.Basic.Cancel("tag"))

    assert subscription.ended
    assert subscription.dropped
    assert len(subscription.take(10)) == 2
    await subscription.ack_up_to(2)
    assert channel.acks == [(2, True)]


async def test_waiting_ends_with_a_delivery_or_with_patience() -> None:
    channel, subscription = await subscribed()

    assert await subscription.wait(0.01) is False
    waiting = asyncio.create_task(subscription.wait(10))
    await asyncio.sleep(0)  # it has begun to wait
    deliver(channel, 1)
    assert await waiting is True
