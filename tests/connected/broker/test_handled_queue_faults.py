"""Handlers without their database or their broker, and with messages that can never succeed."""

import asyncio

import aio_pika
import asyncpg

from shared import topology
from shared.events import ModelRegistered
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import QUEUE, Memory, handled, publish, running, texts
from tests.connected.brokers import answered, posted, raw_channel, take, waiting
from tests.waiting import PATIENCE_S, until_true

UNHEARD = ModelRegistered(name="gpt", provider="openai")


async def test_a_long_outage_gives_the_deliveries_back_and_takes_none(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    away = True
    memory.fault = lambda _: asyncpg.CannotConnectNowError("starting up") if away else None
    await publish(publisher, 20)

    worker = handled(settings, memory, publisher, patience_s=0.2)
    async with running(worker):
        await until_true(lambda: memory.attempts > 0)
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(settings, QUEUE) < 20:
                await asyncio.sleep(0.05)
        attempts = memory.attempts
        await until_true(lambda: memory.attempts >= attempts + 2)
        assert await waiting(settings, QUEUE) == 20  # nothing was taken again while the database was away
        (probe,) = await take(settings, QUEUE, 1)
        assert probe.headers["x-delivery-count"] == 1
        away = False
        await until_true(lambda: len(memory.stored) == 20)
        await until_true(lambda: worker.fault() is None)

    assert await waiting(settings, QUEUE) == 0


async def test_a_deleted_queue_is_consumed_again_when_it_is_there(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    worker = handled(settings, memory, publisher, look_every_s=0.2)
    await publisher.publish(posted(0))
    memory.open.clear()

    async with running(worker):
        await until_true(lambda: memory.attempts == 1)
        await publisher.publish(posted(1))
        async with raw_channel(settings) as channel:
            await channel.queue_delete(QUEUE.name)
            memory.open.set()
            await until_true(lambda: "no queue 'logger.chat'" in (worker.fault() or ""))
        await until_true(lambda: worker.fault() is None)
        await publisher.publish(posted(2))
        await until_true(lambda: "message 2" in memory.contents)

    assert memory.contents == texts(3)


async def test_a_consumer_that_the_broker_forgot_registers_again(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publisher.publish(posted(0))
    async with running(handled(settings, memory, publisher, look_every_s=0.2, quiet_s=0.3)):
        await until_true(lambda: len(memory.contents) == 1)
        async with raw_channel(settings) as channel:
            await channel.queue_delete(QUEUE.name)
        # Heard by the deleted queue alone: the publisher declares it again, and RabbitMQ 3.10 tells no consumer.
        await publisher.publish(answered(1))
        await until_true(lambda: len(memory.contents) == 2)


async def test_garbage_between_messages_is_parked(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    await publisher.publish(posted(0))
    await publisher.publish_to(QUEUE.name, b"\xff not JSON", name="MessagePosted", message_id=None, headers={})
    await publisher.publish_to(QUEUE.name, b"{}", name="NoSuchEvent", message_id="some-id", headers={})
    await publisher.publish_to(QUEUE.name, UNHEARD.body(), name="ModelRegistered", message_id=None, headers={})
    await publisher.publish(posted(1))

    async with running(handled(settings, memory, publisher)):
        parked = await take(settings, topology.DEAD, 3)
        await until_true(lambda: len(memory.contents) == 2)

    assert memory.contents == texts(2)
    reasons = {message.body: message.headers["x-reason"] for message in parked}
    assert reasons == {b"\xff not JSON": "undecodable", b"{}": "unknown_type", UNHEARD.body(): "undecodable"}
    assert await waiting(settings, QUEUE) == 0


async def test_strange_headers_and_a_wish_for_an_answer_change_nothing(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    """FastStream answers whoever asks, where we may not publish; and its telemetry fails on a number."""
    headers: aio_pika.abc.HeadersType = {"traceparent": 5, "baggage": [1], "tracestate": {"a": 1}}
    message = aio_pika.Message(posted(0).body(), type="MessagePosted", headers=headers, reply_to="dead")
    async with raw_channel(settings) as channel:
        await channel.default_exchange.publish(message, QUEUE.name)
        await channel.default_exchange.publish(message, QUEUE.name)

    async with running(handled(settings, memory, publisher)):
        await until_true(lambda: memory.contents == ["message 0"] * 2)

    assert await waiting(settings, QUEUE) == await waiting(settings, topology.DEAD) == 0
