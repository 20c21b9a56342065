"""Handlers without their database or their broker, and with messages that can never succeed."""

import asyncio
import json

import aio_pika
import asyncpg
import pytest
from aiormq import spec
from pamqp.header import ContentHeader

from shared import topology
from shared.errors import Unstorable
from shared.events import ModelRegistered
from shared.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import QUEUE, Memory, handled, publish, running, texts
from tests.connected.brokers import NOBODY, answered, broker_settings, posted, raw_channel, take, waiting
from tests.waiting import PATIENCE_S, until_true

UNHEARD = ModelRegistered(name="gpt", provider="openai")


async def test_a_database_that_is_away_is_waited_for(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    away = True
    memory.fault = lambda _: asyncpg.ConnectionDoesNotExistError("gone") if away else None
    await publish(publisher, 20)
    worker = handled(settings, memory, publisher)

    async with running(worker):
        await until_true(lambda: memory.attempts >= 3)
        assert worker.fault() == "waiting for the database: ConnectionDoesNotExistError: gone"
        away = False
        await until_true(lambda: len(memory.contents) == 20)
        assert worker.fault() is None

    assert memory.contents == texts(20)


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


async def test_an_unknown_error_ends_the_consumer(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    memory.fault = lambda _: KeyError("a bug")
    await publish(publisher, 3)
    worker = handled(settings, memory, publisher)

    with pytest.raises(KeyError):
        await asyncio.wait_for(worker.run(), 10)

    assert worker.fault() == "ended by KeyError: a bug"
    assert len(await take(settings, QUEUE, 3)) == 3


async def test_stopping_while_the_database_is_away_gives_everything_back(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda _: ConnectionRefusedError("no database")
    await publish(publisher, 5)

    async with running(handled(settings, memory, publisher, patience_s=600)):
        await until_true(lambda: memory.attempts >= 1)

    assert len(await take(settings, QUEUE, 5)) == 5


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


async def test_a_consumer_tells_that_the_broker_is_away(memory: Memory) -> None:
    settings = broker_settings(NOBODY, publish_deadline_s=0.1)
    async with Publisher(settings, "test") as publisher:
        worker = handled(settings, memory, publisher)
        assert worker.fault() == "not started"
        async with running(worker):
            await until_true(lambda: (worker.fault() or "").startswith("disconnected: "))


async def test_a_guilty_message_is_parked_and_its_neighbours_are_stored(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    guilty = {"message 3", "message 17"}
    memory.fault = lambda events: Unstorable("too much") if events[0].content in guilty else None
    await publish(publisher, 20)

    async with running(handled(settings, memory, publisher)):
        parked = await take(settings, topology.DEAD, 2)
        await until_true(lambda: len(memory.contents) == 18)

    assert memory.contents == [text for text in texts(20) if text not in guilty]
    assert {json.loads(message.body)["content"] for message in parked} == guilty
    assert parked[0].headers["x-reason"] == "unstorable"
    assert parked[0].headers["x-error"] == "Unstorable: too much"
    assert parked[0].headers["x-queue"] == "logger.chat"
    assert (parked[0].type, parked[0].message_id) == ("MessagePosted", json.loads(parked[0].body)["event_id"])
    assert await waiting(settings, QUEUE) == 0


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


async def test_a_message_with_unreadable_properties_is_parked(
    settings: Settings, publisher: Publisher, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ passes on a type that is not UTF-8; pamqp kills the connection of whoever receives it."""
    properties = spec.Basic.Properties(message_type="type")
    readable = ContentHeader(body_size=4, properties=properties).marshal()
    monkeypatch.setattr(ContentHeader, "marshal", lambda _: readable.replace(b"type", b"\xff\xfepe"))
    async with raw_channel(settings) as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"body"), QUEUE.name)
    monkeypatch.undo()
    await publisher.publish(posted(0))

    async with running(handled(settings, memory, publisher)):
        (parked,) = await take(settings, topology.DEAD, 1)
        await until_true(lambda: memory.contents == texts(1))

    assert parked.body == b"body"
    assert parked.headers["x-reason"] == "undecodable"
    assert "utf-8" in str(parked.headers["x-error"])


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


async def test_a_message_that_cannot_be_parked_is_dead_lettered_by_the_broker(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda events: Unstorable() if events[0].content == "message 1" else None
    await publish(publisher, 3)
    nowhere = settings.model_copy(update={"amqp_url": NOBODY, "publish_deadline_s": 0.2})

    async with Publisher(nowhere, "cut off") as cut_off, running(handled(settings, memory, cut_off)):
        (dead,) = await take(settings, topology.DEAD, 1)
        await until_true(lambda: len(memory.contents) == 2)

    assert json.loads(dead.body)["content"] == "message 1"
    assert dead.headers["x-first-death-reason"] == "rejected"
    assert await waiting(settings, QUEUE) == 0
