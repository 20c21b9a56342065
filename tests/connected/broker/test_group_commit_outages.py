"""Group commit without its database or its broker: nothing is lost, and it is told."""

import asyncio
from contextlib import suppress
from uuid import UUID

import asyncpg
import pytest

from deploy.supervisor.private.servers import RabbitMQ
from shared import topology
from shared.consuming.group_commit import GroupCommit
from shared.consuming.subscription import Delivery
from shared.errors import BrokerAway
from shared.events import MessageEvent
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import (
    QUEUE,
    Memory,
    arrived,
    consumer,
    decode_message,
    handled,
    publish,
    running,
    texts,
)
from tests.connected.brokers import answered, broker_settings, posted, purge, raw_channel, waiting
from tests.waiting import PATIENCE_S, until, until_true


async def test_a_long_outage_gives_the_deliveries_back_once(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    away = True
    memory.fault = lambda _: asyncpg.CannotConnectNowError("starting up") if away else None
    await publish(publisher, 20)
    delivery_counts: list[object] = []

    def decode(delivery: Delivery) -> MessageEvent:
        delivery_counts.append(delivery.headers.get("x-delivery-count", 0))
        return decode_message(delivery)

    worker = GroupCommit(settings, QUEUE, decode=decode, commit=memory.commit, publisher=publisher, patience_s=0.2)
    async with running(worker):
        await until_true(lambda: memory.attempts > 0)
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(settings, QUEUE) < 20:
                await asyncio.sleep(0.05)
        attempts, held = memory.attempts, len(delivery_counts)  # the first group, which may be less than all of it
        await until_true(lambda: memory.attempts >= attempts + 2)
        assert await waiting(settings, QUEUE) == 20  # nothing was taken again while the database was away
        away = False
        await until_true(lambda: len(memory.stored) == 20)
        await until_true(lambda: len(delivery_counts) == held + 20)  # all of it once more
        await until_true(lambda: worker.fault() is None)

    assert await waiting(settings, QUEUE) == 0
    assert max(map(int, map(str, delivery_counts))) == 1


async def test_an_installation_fault_is_waited_for_and_told(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    missing: list[BaseException] = [asyncpg.UndefinedTableError('relation "messages" does not exist')]
    memory.fault = lambda _: missing[0] if missing else None
    await publisher.publish(posted(0))
    worker = consumer(settings, memory, publisher)

    async with running(worker):
        await until_true(lambda: memory.attempts >= 2)
        assert 'relation "messages" does not exist' in (worker.fault() or "")
        missing.clear()
        await until_true(lambda: memory.contents == texts(1))


async def test_a_deleted_queue_is_declared_and_consumed_again(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    worker = consumer(settings, memory, publisher)
    await publisher.publish(posted(0))
    memory.open.clear()

    async with running(worker):
        await until_true(lambda: memory.attempts == 1)
        await publisher.publish(posted(1))
        await until_true(lambda: arrived(worker) == 1)
        async with raw_channel(settings) as channel:
            await channel.queue_delete(QUEUE.name)
            memory.open.set()
            await until_true(lambda: worker.fault() == "disconnected: the broker cancelled the consumer")
        await until_true(lambda: worker.fault() is None)
        await publisher.publish(posted(2))
        await until_true(lambda: "message 2" in memory.contents)

    # What had arrived was committed, although nobody would have delivered it again.
    assert memory.contents == texts(3)


async def test_a_consumer_that_the_broker_forgot_registers_again(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publisher.publish(posted(0))
    async with running(consumer(settings, memory, publisher, quiet_s=0.3)):
        await until_true(lambda: len(memory.contents) == 1)
        async with raw_channel(settings) as channel:
            await channel.queue_delete(QUEUE.name)
        # Heard by the deleted queue alone: the publisher declares it again, and RabbitMQ 3.10 tells no consumer.
        await publisher.publish(answered(1))
        await until_true(lambda: len(memory.contents) == 2)


async def test_each_subscription_begins_before_its_first_group(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    begun: list[int] = []  # what was committed before

    async with running(
        consumer(settings, memory, publisher, quiet_s=0.3, begin=lambda: begun.append(len(memory.contents)))
    ):
        await publisher.publish(posted(0))
        await until_true(lambda: len(memory.contents) == 1)
        before = len(begun)
        await until_true(lambda: len(begun) > before)
        await publisher.publish(posted(1))
        await until_true(lambda: len(memory.contents) == 2)

    assert (begun[0], begun[before]) == (0, 1)


async def connected(broker: RabbitMQ) -> set[str]:
    """Name the connections that a broker has."""
    listed = await asyncio.to_thread(broker.ctl, "list_connections", "pid")
    return {line for line in listed.splitlines() if line.startswith("<")}


@pytest.mark.fault
async def test_a_connection_lost_during_a_commit_brings_the_group_again(breakable: RabbitMQ, memory: Memory) -> None:
    settings = broker_settings(breakable.url)
    await purge(settings)
    async with Publisher(settings, "test") as publisher:
        await publish(publisher, 10)
        memory.open.clear()
        async with running(consumer(settings, memory, publisher)):
            await until_true(lambda: memory.attempts == 1)
            connections = await connected(breakable)
            assert connections
            await asyncio.to_thread(breakable.ctl, "close_all_connections", "test")
            while connections & await connected(breakable):  # it is answered before, and an ack would still count
                pass
            memory.open.set()
            # The commit in flight counts, but its ack would have been for tags of another channel.
            await until_true(lambda: len(memory.contents) >= 10 + sum(map(len, memory.groups[:1])) > 10)

    first = len(memory.groups[0])
    assert memory.contents == texts(10)[:first] + texts(10)
    assert await waiting(settings, QUEUE) == 0


@pytest.mark.fault
async def test_every_confirmed_message_survives_a_broker_that_is_killed(breakable: RabbitMQ, memory: Memory) -> None:
    settings = broker_settings(breakable.url, publish_deadline_s=PATIENCE_S)
    await purge(settings)
    confirmed: set[UUID] = set()
    heard = Memory()  # by a handler, of another queue

    async def publish_one(number: int) -> None:
        event = posted(number)
        with suppress(BrokerAway):
            await sender.publish(event)
            confirmed.add(event.event_id)

    async with (
        Publisher(settings, "test") as sender,
        running(consumer(settings, memory, sender)),
        running(handled(settings, heard, sender, queue=topology.TAGGER_SESSIONS)),
    ):
        publishing = asyncio.gather(*(publish_one(number) for number in range(2000)))
        await until_true(lambda: len(memory.stored) > 200)
        breakable.kill()
        await asyncio.to_thread(breakable.start)
        await publishing
        await until_true(lambda: confirmed <= memory.stored.keys() & heard.stored.keys())
        for queue in (QUEUE, topology.TAGGER_SESSIONS):
            await until(lambda queue=queue: is_empty(settings, queue), "what came twice")  # type: ignore[misc]

    assert len(confirmed) == 2000
    assert await waiting(settings, QUEUE) == await waiting(settings, topology.TAGGER_SESSIONS) == 0


async def is_empty(settings: Settings, queue: topology.Queue) -> bool:
    return await waiting(settings, queue) == 0
