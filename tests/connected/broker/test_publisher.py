"""Publishing on a real broker: what was confirmed is in the queue, and what was not is told in time."""

import asyncio
import json
import os
import signal
import time
from contextlib import suppress
from uuid import UUID

import aio_pika
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from deploy.supervisor.private.servers import RabbitMQ
from shared import topology
from shared.errors import BrokerAway, TooLarge
from shared.events import LARGEST_BODY, Stored
from shared.publishing.line import BLOCKED
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.brokers import NOBODY, answered, broker_settings, posted, purge, raw_channel, take, waiting
from tests.servers import Servers
from tests.waiting import PATIENCE_S, until_true

QUEUE = topology.LOGGER_CHAT


async def test_an_event_is_in_every_queue_that_hears_it(settings: Settings, publisher: Publisher) -> None:
    event = posted(1)

    await publisher.publish(event)

    for queue in (topology.LOGGER_CHAT, topology.TAGGER_SESSIONS):
        (message,) = await take(settings, queue, 1)
        assert message.body == event.body()
        assert (message.type, message.message_id) == ("MessagePosted", str(event.event_id))
        assert message.correlation_id == str(event.correlation_id)
        assert message.content_type == "application/json"
        assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT


async def test_an_event_carries_the_trace_it_was_published_in(settings: Settings, publisher: Publisher) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        await publisher.publish(answered(1))

    (message,) = await take(settings, QUEUE, 1)
    assert f"{span.get_span_context().trace_id:032x}" in str(message.headers["traceparent"])
    assert trace.get_current_span() is not span


async def test_a_raw_message_keeps_its_name_id_and_headers(settings: Settings, publisher: Publisher) -> None:
    await publisher.publish_to("dead", b"\x00\xff", name="Odd", message_id="an id", headers={"x-reason": "because"})

    (message,) = await take(settings, topology.DEAD, 1)
    assert (message.body, message.type, message.message_id) == (b"\x00\xff", "Odd", "an id")
    assert message.headers["x-reason"] == "because"


async def test_the_same_body_without_an_id_gets_the_same_id(settings: Settings, publisher: Publisher) -> None:
    for body in (b"one", b"one", b"other"):
        await publisher.publish_to("dead", body, name=None, message_id=None, headers={})

    first, repeat, other = [message.message_id for message in await take(settings, topology.DEAD, 3)]
    assert first == repeat != other


async def test_an_event_for_a_deleted_queue_waits_until_it_is_declared_again(
    settings: Settings, publisher: Publisher
) -> None:
    async with raw_channel(settings) as channel:
        await channel.queue_delete(QUEUE.name)

    await publisher.publish(answered(1))

    assert len(await take(settings, QUEUE, 1)) == 1


async def test_an_event_for_a_deleted_exchange_waits_until_it_is_declared_again(
    settings: Settings, publisher: Publisher
) -> None:
    async with raw_channel(settings) as channel:
        await channel.exchange_delete(topology.EVENTS_EXCHANGE)

    await publisher.publish(posted(1))

    assert len(await take(settings, QUEUE, 1)) == 1


@pytest.mark.alone
async def test_a_message_for_an_unknown_queue_is_refused_at_once(publisher: Publisher) -> None:
    began = time.monotonic()

    with pytest.raises(BrokerAway, match="no queue takes 'nowhere'"):
        await publisher.publish_to("nowhere", b"", name=None, message_id=None, headers={})

    assert time.monotonic() - began < 5
    assert publisher.away is None


async def test_an_event_that_no_consumer_would_read_is_refused(settings: Settings, publisher: Publisher) -> None:
    with pytest.raises(TooLarge):
        await publisher.publish(posted(1, content="x" * LARGEST_BODY))

    await publisher.publish(answered(2))
    assert await waiting(settings, QUEUE) == 1


async def test_a_thousand_events_at_once_are_all_confirmed(settings: Settings, publisher: Publisher) -> None:
    await asyncio.gather(*(publisher.publish(answered(number)) for number in range(1000)))

    bodies = [json.loads(message.body)["content"] for message in await take(settings, QUEUE, 1000)]
    assert sorted(bodies) == sorted(f"message {number}" for number in range(1000))


@pytest.mark.alone
async def test_publishing_to_nobody_ends_at_the_deadline() -> None:
    async with Publisher(broker_settings(NOBODY), "test") as publisher:
        began = time.monotonic()
        with pytest.raises(BrokerAway, match=r"refused|failed"):
            await publisher.publish(posted(1), deadline_s=0.3)

        assert 0.25 < time.monotonic() - began < 2
        assert publisher.away is not None


@pytest.mark.alone
async def test_outcomes_for_nobody_are_dropped_at_once() -> None:
    async with Publisher(broker_settings(NOBODY), "test") as publisher:
        began = time.monotonic()
        await publisher.announce([Stored(user_id="ada", causes=(posted(1).event_id,))])

        assert time.monotonic() - began < 2


async def test_a_wrong_password_is_told(servers: Servers) -> None:
    url = servers.amqp_url.replace("amqp://", "amqp://nobody:wrong@", 1)
    wrong = "amqp://nobody:wrong@" + url.rpartition("@")[2]

    async with Publisher(broker_settings(wrong), "test") as publisher:
        assert "refused" in (publisher.away or "").lower()


async def test_what_is_not_confirmed_yet_is_waited_for_at_the_end(settings: Settings) -> None:
    async with Publisher(settings, "test") as publisher:
        publishing = [asyncio.create_task(publisher.publish(answered(number))) for number in range(50)]
        await asyncio.sleep(0)  # each has begun

    await asyncio.gather(*publishing)
    assert await waiting(settings, QUEUE) == 50


async def test_a_closed_publisher_refuses(settings: Settings) -> None:
    async with Publisher(settings, "test") as publisher:
        pass

    with pytest.raises(BrokerAway, match="closed"):
        await publisher.publish(posted(1))


@pytest.mark.fault
async def test_events_survive_lost_connections(breakable: RabbitMQ) -> None:
    settings = broker_settings(breakable.url, publish_deadline_s=PATIENCE_S)
    await purge(settings)
    events = [answered(number) for number in range(3000)]

    async with Publisher(settings, "test") as publisher:
        publishing = asyncio.gather(*(publisher.publish(event) for event in events))
        await asyncio.to_thread(breakable.ctl, "close_all_connections", "test")
        await publishing

    assert await stored(settings, len(events)) == {event.event_id for event in events}


@pytest.mark.fault
async def test_events_survive_a_broker_that_is_killed(breakable: RabbitMQ) -> None:
    settings = broker_settings(breakable.url, publish_deadline_s=PATIENCE_S)
    await purge(settings)
    events = [answered(number) for number in range(2000)]

    async with Publisher(settings, "test") as publisher:
        publishing = asyncio.gather(*(publisher.publish(event) for event in events))
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(settings, QUEUE) < 100:
                await asyncio.sleep(0.01)
        breakable.kill()
        await until_true(lambda: publisher.away is not None)
        await asyncio.to_thread(breakable.start)
        await publishing
        assert publisher.away is None

    assert await stored(settings, len(events)) == {event.event_id for event in events}


@pytest.mark.alone
@pytest.mark.fault
async def test_a_broker_with_an_alarm_is_away(breakable: RabbitMQ) -> None:
    settings = broker_settings(breakable.url)
    await purge(settings)
    async with Publisher(settings, "test") as publisher:
        await asyncio.to_thread(breakable.ctl, "set_vm_memory_high_watermark", "0.000001")
        try:
            # The broker tells a connection of the alarm only when it publishes.
            held = asyncio.create_task(publisher.publish(answered(1), deadline_s=PATIENCE_S))
            await until_true(lambda: publisher.away == BLOCKED)
            began = time.monotonic()
            await publisher.announce([Stored(user_id="ada", causes=(posted(1).event_id,))])
            with pytest.raises(BrokerAway, match="blocked"):
                await publisher.publish(answered(2), deadline_s=0.2)
            assert time.monotonic() - began < 1
        finally:
            await asyncio.to_thread(breakable.ctl, "set_vm_memory_high_watermark", "absolute", "1GB")
        await asyncio.gather(held, publisher.publish(answered(3), deadline_s=PATIENCE_S))
        assert publisher.away is None


@pytest.mark.alone
@pytest.mark.fault
async def test_closing_does_not_wait_for_a_broker_with_an_alarm(breakable: RabbitMQ) -> None:
    settings = broker_settings(breakable.url)
    try:
        async with Publisher(settings, "test") as publisher:
            await asyncio.to_thread(breakable.ctl, "set_vm_memory_high_watermark", "0.000001")
            with suppress(BrokerAway):
                await publisher.publish(answered(1), deadline_s=0.5)
            began = time.monotonic()
        assert time.monotonic() - began < 8
    finally:
        await asyncio.to_thread(breakable.ctl, "set_vm_memory_high_watermark", "absolute", "1GB")


@pytest.mark.alone
@pytest.mark.fault
async def test_a_broker_that_hangs_is_told_in_time(breakable: RabbitMQ) -> None:
    settings = broker_settings(breakable.url, publish_timeout_s=0.5)
    await purge(settings)
    async with Publisher(settings, "test") as publisher:
        assert breakable.pid is not None
        os.kill(breakable.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(BrokerAway):
                await publisher.publish(answered(1), deadline_s=1.5)
            assert time.monotonic() - began < 3
            await until_true(lambda: publisher.away is not None)
        finally:
            os.kill(breakable.pid, signal.SIGCONT)
        await publisher.publish(answered(2), deadline_s=PATIENCE_S)


@pytest.mark.fault
async def test_a_publisher_that_started_without_a_broker_finds_it(breakable: RabbitMQ) -> None:
    settings = broker_settings(breakable.url, publish_deadline_s=PATIENCE_S)
    await purge(settings)
    breakable.kill()
    async with Publisher(settings, "test") as publisher:
        assert publisher.away is not None
        publishing = asyncio.create_task(publisher.publish(answered(1)))
        await asyncio.to_thread(breakable.start)
        await publishing

    assert len(await take(settings, QUEUE, 1)) == 1


async def stored(settings: Settings, count: int) -> set[UUID]:
    """Take everything out of the queue, which has at least so many different events, some of them twice."""
    found: set[UUID] = set()
    async with asyncio.timeout(PATIENCE_S), raw_channel(settings) as channel:
        await channel.set_qos(500)
        async with (await channel.get_queue(QUEUE.name)).iterator() as messages:
            async for message in messages:
                found.add(UUID(message.message_id))
                await message.ack()
                if len(found) == count:
                    break
    return found
