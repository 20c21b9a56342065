"""Messages that can never succeed, on a real broker: each ends in `dead`, and its neighbours are stored."""

import aio_pika
import asyncpg
import pytest
from aiormq import spec

from shared import topology
from shared.consuming.group_commit import GroupCommit
from shared.consuming.subscription import Delivery
from shared.errors import Unstorable
from shared.events import MessageEvent, ModelRegistered
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import QUEUE, Memory, consumer, decode_message, publish, running, texts
from tests.connected.brokers import NOBODY, posted, raw_channel, take, waiting
from tests.waiting import until_true

UNHEARD = ModelRegistered(name="gpt", provider="openai")
LARGEST_HEADER = 130_990  # bytes that a frame of 128 KiB has room for


async def test_a_value_that_the_database_refuses_is_parked_without_its_details(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    refusal = asyncpg.CharacterNotInRepertoireError("invalid byte sequence")
    refusal.detail = "Failing row contains (a secret)."
    memory.fault = lambda _: refusal
    await publisher.publish(posted(0))

    async with running(consumer(settings, memory, publisher)):
        (parked,) = await take(settings, topology.DEAD, 1)

    assert parked.headers["x-reason"] == "unstorable"
    assert parked.headers["x-error"] == "CharacterNotInRepertoireError: invalid byte sequence"


async def test_garbage_between_messages_is_parked_in_its_place(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publisher.publish(posted(0))
    await publisher.publish_to(QUEUE.name, b"\xff not JSON", name="MessagePosted", message_id=None, headers={})
    await publisher.publish_to(QUEUE.name, b"{}", name="NoSuchEvent", message_id="some-id", headers={})
    await publisher.publish(posted(1))

    async with running(consumer(settings, memory, publisher)):
        parked = await take(settings, topology.DEAD, 2)
        await until_true(lambda: len(memory.contents) == 2)

    assert memory.contents == texts(2)
    reasons = {message.body: message.headers["x-reason"] for message in parked}
    assert reasons == {b"\xff not JSON": "undecodable", b"{}": "unknown_type"}
    assert await waiting(settings, QUEUE) == 0


async def test_an_event_that_is_not_bound_to_the_queue_is_parked(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publisher.publish_to(QUEUE.name, UNHEARD.body(), name="ModelRegistered", message_id=None, headers={})
    await publisher.publish(posted(0))

    async with running(consumer(settings, memory, publisher)):
        (parked,) = await take(settings, topology.DEAD, 1)
        await until_true(lambda: memory.contents == texts(1))

    assert parked.headers["x-reason"] == "undecodable"
    assert parked.headers["x-error"] == "Undecodable: logger.chat does not hear ModelRegistered"


async def test_a_message_with_an_unreadable_routing_key_is_a_message_like_others(
    settings: Settings, publisher: Publisher, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ delivers a carbon copy with the key it was sent by, which need not be UTF-8."""
    event = posted(0)
    message = aio_pika.Message(event.body(), type="MessagePosted", headers={"CC": [QUEUE.name]})
    marshal = spec.Basic.Publish.marshal
    monkeypatch.setattr(spec.Basic.Publish, "marshal", lambda frame: marshal(frame).replace(b"route", b"\xff\xfeute"))
    async with raw_channel(settings) as channel:
        await channel.default_exchange.publish(message, "route")
    monkeypatch.undo()

    async with running(consumer(settings, memory, publisher)):
        await until_true(lambda: memory.contents == texts(1))

    assert await waiting(settings, QUEUE) == 0


async def test_a_header_as_large_as_a_frame_is_no_trace_to_pass_on(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    """With the reason beside it the header frame would be too large, and cost the publisher its connection."""
    async with raw_channel(settings) as channel:
        message = aio_pika.Message(b"body", headers={"traceparent": "x" * LARGEST_HEADER})
        await channel.default_exchange.publish(message, QUEUE.name)

    async with running(consumer(settings, memory, publisher)):
        (parked,) = await take(settings, topology.DEAD, 1)

    assert set(parked.headers) == {"x-reason", "x-error", "x-queue"}


async def test_a_rejected_message_does_not_cost_the_channel(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda events: Unstorable() if events[0].content == "message 0" else None
    await publish(publisher, 2)
    nowhere = settings.model_copy(update={"amqp_url": NOBODY, "publish_deadline_s": 0.2})
    one_by_one = settings.model_copy(update={"group_size": 1})

    async with Publisher(nowhere, "cut off") as cut_off, running(consumer(one_by_one, memory, cut_off)):
        await until_true(lambda: memory.contents == ["message 1"])
        await publisher.publish(posted(2))
        await until_true(lambda: memory.contents[-1] == "message 2")

    assert memory.contents == ["message 1", "message 2"]
    assert await waiting(settings, QUEUE) == 0


async def test_a_dead_letter_that_cannot_be_stored_is_waited_for(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    refusals = [Unstorable(), Unstorable()]
    memory.fault = lambda _: refusals.pop() if refusals else None
    headers = {"x-reason": "the first one"}
    await publisher.publish_to("dead", posted(0).body(), name="MessagePosted", message_id="1", headers=headers)
    reasons: list[object] = []

    def decode(delivery: Delivery) -> MessageEvent:
        reasons.append(delivery.headers.get("x-reason"))
        return decode_message(delivery)

    async with running(GroupCommit(settings, topology.DEAD, decode=decode, commit=memory.commit, publisher=publisher)):
        await until_true(lambda: memory.contents == texts(1))

    assert memory.attempts == 3
    assert reasons == ["the first one"]  # parking it again would have given it another
    assert await waiting(settings, topology.DEAD) == 0
