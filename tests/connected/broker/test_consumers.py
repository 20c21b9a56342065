"""What both kinds of consumers promise with poison, and without their database or broker: in groups and singly."""

import asyncio
import json
from collections.abc import Callable

import aio_pika
import asyncpg
import pytest
from aiormq import spec
from pamqp.header import ContentHeader

from shared import topology
from shared.consuming.handled_queue import HandledQueue
from shared.errors import Unstorable
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import QUEUE, Consumer, Memory, consumer, handled, publish, running, texts
from tests.connected.brokers import NOBODY, broker_settings, posted, raw_channel, take, waiting
from tests.waiting import until_true

Make = Callable[..., Consumer | HandledQueue]
BOTH = [pytest.param(consumer, id="groups"), pytest.param(handled, id="singly")]


@pytest.mark.parametrize("make", BOTH)
async def test_a_database_that_is_away_is_waited_for(
    make: Make, settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    away = True
    memory.fault = lambda _: asyncpg.ConnectionDoesNotExistError("gone") if away else None
    await publish(publisher, 20)
    worker = make(settings, memory, publisher)

    async with running(worker):
        await until_true(lambda: memory.attempts >= 3)
        assert worker.fault() == "waiting for the database: ConnectionDoesNotExistError: gone"
        away = False
        await until_true(lambda: len(memory.contents) == 20)
        assert worker.fault() is None

    assert memory.contents == texts(20)


@pytest.mark.parametrize("make", BOTH)
async def test_an_unknown_error_ends_the_consumer(
    make: Make, settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda _: KeyError("a bug")
    await publish(publisher, 3)
    worker = make(settings, memory, publisher)

    with pytest.raises(KeyError):
        await asyncio.wait_for(worker.run(), 10)

    assert worker.fault() == "ended by KeyError: a bug"
    assert len(await take(settings, QUEUE, 3)) == 3


@pytest.mark.parametrize("make", BOTH)
async def test_stopping_while_the_database_is_away_gives_everything_back(
    make: Make, settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda _: ConnectionRefusedError("no database")
    await publish(publisher, 5)

    async with running(make(settings, memory, publisher, patience_s=600)):
        await until_true(lambda: memory.attempts >= 1)

    assert len(await take(settings, QUEUE, 5)) == 5


@pytest.mark.parametrize("make", BOTH)
async def test_a_consumer_tells_that_the_broker_is_away(make: Make, memory: Memory) -> None:
    settings = broker_settings(NOBODY, publish_deadline_s=0.1)
    async with Publisher(settings, "test") as publisher:
        worker = make(settings, memory, publisher)
        assert worker.fault() == "not started"
        async with running(worker):
            await until_true(lambda: (worker.fault() or "").startswith("disconnected: "))


@pytest.mark.parametrize("make", BOTH)
async def test_a_guilty_message_is_parked_and_its_neighbours_are_stored(
    make: Make, settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    guilty = {"message 3", "message 17"}
    memory.fault = lambda events: Unstorable("too much") if any(event.content in guilty for event in events) else None
    await publish(publisher, 20)

    async with running(make(settings, memory, publisher)):
        parked = await take(settings, topology.DEAD, 2)
        await until_true(lambda: len(memory.contents) == 18)

    assert memory.contents == [text for text in texts(20) if text not in guilty]
    assert {json.loads(message.body)["content"] for message in parked} == guilty
    assert parked[0].headers["x-reason"] == "unstorable"
    assert parked[0].headers["x-error"] == "Unstorable: too much"
    assert parked[0].headers["x-queue"] == "logger.chat"
    assert (parked[0].type, parked[0].message_id) == ("MessagePosted", json.loads(parked[0].body)["event_id"])
    assert await waiting(settings, QUEUE) == 0


@pytest.mark.parametrize("make", BOTH)
async def test_a_message_with_unreadable_properties_is_parked(
    make: Make, settings: Settings, publisher: Publisher, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ passes on a type that is not UTF-8; pamqp kills the connection of whoever receives it."""
    properties = spec.Basic.Properties(message_type="type")
    readable = ContentHeader(body_size=4, properties=properties).marshal()
    monkeypatch.setattr(ContentHeader, "marshal", lambda _: readable.replace(b"type", b"\xff\xfepe"))
    async with raw_channel(settings) as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"body"), QUEUE.name)
    monkeypatch.undo()
    await publisher.publish(posted(0))

    async with running(make(settings, memory, publisher)):
        (parked,) = await take(settings, topology.DEAD, 1)
        await until_true(lambda: memory.contents == texts(1))

    assert parked.body == b"body"
    assert parked.headers["x-reason"] == "undecodable"
    assert "utf-8" in str(parked.headers["x-error"])


@pytest.mark.parametrize("make", BOTH)
async def test_a_message_that_cannot_be_parked_is_dead_lettered_by_the_broker(
    make: Make, settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda events: Unstorable() if events[0].content == "message 1" or len(events) > 1 else None
    await publish(publisher, 3)
    nowhere = settings.model_copy(update={"amqp_url": NOBODY, "publish_deadline_s": 0.2})

    async with Publisher(nowhere, "cut off") as cut_off, running(make(settings, memory, cut_off)):
        (dead,) = await take(settings, topology.DEAD, 1)
        await until_true(lambda: len(memory.contents) == 2)

    assert json.loads(dead.body)["content"] == "message 1"
    assert dead.headers["x-first-death-reason"] == "rejected"
    assert await waiting(settings, QUEUE) == 0
