"""A subscription settles tags on the channel that delivered them, and nothing that it has not seen in order."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelClosed
from pamqp.header import ContentHeader

from shared.connection import Disconnected
from shared.subscription import Subscription


class FakeChannel:
    """Remembers what was settled on it."""

    def __init__(self) -> None:
        self.on_consumer_cancel_callbacks: set[Callable[..., Any]] = set()
        self.acks: list[tuple[int, bool]] = []
        self.rejections: list[int] = []
        self.deliver: Callable[[DeliveredMessage], Any]

    async def basic_qos(self, **_: Any) -> None:
        pass

    async def basic_consume(self, _queue: str, deliver: Callable[..., Any], **_: Any) -> spec.Basic.ConsumeOk:
        self.deliver = deliver
        return spec.Basic.ConsumeOk("tag")

    async def basic_reject(self, tag: int, **_: Any) -> None:
        self.rejections.append(tag)

    async def basic_ack(self, tag: int, multiple: bool = False, **_: Any) -> None:
        self.acks.append((tag, multiple))


async def subscribed() -> tuple[FakeChannel, Subscription]:
    channel = FakeChannel()
    subscription = Subscription(channel)  # type: ignore[arg-type]  # the part of a channel that it uses
    await subscription.start("queue", 10)
    return channel, subscription


async def deliver(channel: FakeChannel, *tags: int) -> None:
    for tag in tags:
        frame = spec.Basic.Deliver("tag", tag, False, "", "queue")
        await channel.deliver(DeliveredMessage(frame, ContentHeader(), b"body", channel))  # type: ignore[arg-type]


async def test_deliveries_are_taken_in_the_order_of_their_tags() -> None:
    channel, subscription = await subscribed()
    await deliver(channel, 1, 2, 3)

    taken = subscription.take(2) + subscription.take(2)

    assert [delivery.delivery_tag for delivery in taken] == [1, 2, 3]
    assert subscription.take(2) == []


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
    await deliver(channel, 1, 2, 3, 4)
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
    await deliver(channel, 1, 2, 3)

    for delivery in subscription.take(2):
        await subscription.reject(delivery)
        await subscription.ack_up_to(delivery.delivery_tag)
    await subscription.ack_up_to(3)

    assert channel.acks == [(3, True)]


@pytest.mark.parametrize("tags", [(2,), (1, 3), (1, 1), (1, 2, 1)])
async def test_a_gap_in_the_tags_ends_the_subscription(tags: tuple[int, ...]) -> None:
    channel, subscription = await subscribed()
    await deliver(channel, *tags)

    with pytest.raises(Disconnected, match="came after"):
        subscription.take(10)
    with pytest.raises(Disconnected):
        await subscription.ack_up_to(1)
    assert channel.acks == []


async def test_a_closed_channel_takes_its_deliveries_with_it() -> None:
    channel, subscription = await subscribed()
    await deliver(channel, 1, 2)
    subscription.close_seen(ChannelClosed(320, "gone"))

    with pytest.raises(Disconnected, match="gone"):
        subscription.take(10)
    with pytest.raises(Disconnected, match="gone"):
        await subscription.ack_up_to(2)
    assert channel.acks == []


async def test_a_cancelled_consumer_keeps_what_has_arrived() -> None:
    channel, subscription = await subscribed()
    await deliver(channel, 1, 2)
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
    await deliver(channel, 1)
    assert await waiting is True
