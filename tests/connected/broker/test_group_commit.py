"""Group commit on a real broker: in order, in groups, and nothing is acknowledged that is not settled."""

import asyncio
import json

import pytest

from shared import topology
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import QUEUE, Memory, arrived, consumer, crash, publish, running, texts
from tests.connected.brokers import answered, come, posted, raw_channel, take, waiting
from tests.waiting import PATIENCE_S, until_true


async def test_messages_are_committed_in_order_and_leave_the_queue(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publish(publisher, 30)

    async with running(consumer(settings, memory, publisher)):
        await until_true(lambda: len(memory.contents) == 30)

    assert memory.contents == texts(30)
    assert await waiting(settings, QUEUE) == 0


async def test_what_arrives_during_a_commit_is_the_next_group(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    worker = consumer(settings, memory, publisher)
    memory.open.clear()
    async with running(worker):
        await publisher.publish(posted(0))
        await until_true(lambda: memory.attempts == 1)
        for number in range(1, 21):
            await publisher.publish(posted(number))
        await until_true(lambda: arrived(worker) == 20)
        memory.open.set()
        await until_true(lambda: len(memory.contents) == 21)

    assert memory.groups == [texts(21)[:1], texts(21)[1:]]


async def test_a_group_is_no_larger_than_the_setting(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    await publish(publisher, 25)

    async with running(consumer(settings.model_copy(update={"group_size": 10}), memory, publisher)):
        await until_true(lambda: len(memory.contents) == 25)

    assert max(len(group) for group in memory.groups) <= 10


async def test_a_group_of_large_messages_is_small(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    worker = consumer(settings, memory, publisher)
    memory.open.clear()
    async with running(worker):
        await publisher.publish(answered(0))
        await until_true(lambda: memory.attempts == 1)
        for number in range(1, 6):
            await publisher.publish(answered(number, content=f"{number}" * 3_000_000))
        await until_true(lambda: arrived(worker) == 5)
        memory.open.set()
        await until_true(lambda: len(memory.contents) == 6)

    assert [len(group) for group in memory.groups] == [1, 3, 2]


async def test_nothing_is_acknowledged_before_it_is_committed(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publish(publisher, 30)
    small_groups = settings.model_copy(update={"group_size": 10})
    worker = consumer(small_groups, memory, publisher)
    memory.fault = lambda events: memory.open.clear() if events[0].content == "message 0" else None
    task = asyncio.create_task(worker.run())
    # The first group is committed and acknowledged, the second is being committed, and more has arrived.
    await until_true(lambda: memory.attempts == 2)
    await crash(task)

    left = await take(settings, QUEUE, 30 - len(memory.contents))

    assert [json.loads(message.body)["content"] for message in left] == texts(30)[len(memory.contents) :]
    assert await waiting(settings, QUEUE) == 0


async def test_stopping_settles_what_has_arrived_and_leaves_the_rest(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.open.clear()
    await publish(publisher, 30)
    worker = consumer(settings.model_copy(update={"prefetch": 10, "group_size": 4}), memory, publisher)
    async with running(worker):
        # Which is as much as may be unacknowledged, of which the first group has one to four.
        await until_true(lambda: memory.attempts == 1 and arrived(worker) >= 6)
        worker.shut_down()
        memory.open.set()

    assert memory.contents == texts(30)[: len(memory.contents)]
    assert 7 <= len(memory.contents) < 30
    assert await waiting(settings, QUEUE) == 30 - len(memory.contents)
    assert worker.fault() == "stopped"


async def test_groups_of_a_flood_are_announced_together_soon_after(
    settings: Settings, publisher: Publisher, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.consuming.afterwards.EVERY_S", 1.0)
    worker = consumer(settings.model_copy(update={"group_size": 1}), memory, publisher)
    memory.open.clear()
    async with raw_channel(settings) as channel:
        hints = await channel.declare_queue(exclusive=True)
        await hints.bind(topology.OUTCOMES_EXCHANGE)
        await publish(publisher, 6)
        async with running(worker):
            await until_true(lambda: memory.attempts == 1 and arrived(worker) == 5)
            memory.open.set()
            first, rest = await come(hints, 2)

    assert [len(json.loads(message.body)) for message in (first, rest)] == [1, 5]


async def test_stopping_announces_and_acknowledges_what_is_settled(
    settings: Settings, publisher: Publisher, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.consuming.afterwards.EVERY_S", 600.0)
    async with raw_channel(settings) as channel:
        hints = await channel.declare_queue(exclusive=True)
        await hints.bind(topology.OUTCOMES_EXCHANGE)
        await publish(publisher, 6)
        async with running(consumer(settings.model_copy(update={"group_size": 1}), memory, publisher)):
            await until_true(lambda: len(memory.contents) == 6)
        first, rest = await come(hints, 2)

    assert [len(json.loads(message.body)) for message in (first, rest)] == [1, 5]
    assert await waiting(settings, QUEUE) == 0


async def test_outcomes_are_announced_in_one_message_after_the_commit(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    async with raw_channel(settings) as channel:
        hints = await channel.declare_queue(exclusive=True)
        await hints.bind(topology.OUTCOMES_EXCHANGE)
        await publish(publisher, 5)
        async with running(consumer(settings, memory, publisher)):
            await until_true(lambda: len(memory.contents) == 5)
            told: set[str] = set()
            async with asyncio.timeout(PATIENCE_S), hints.iterator(no_ack=True) as messages:
                async for message in messages:
                    told |= {cause for outcome in json.loads(message.body) for cause in outcome["causes"]}
                    assert {outcome["outcome"] for outcome in json.loads(message.body)} == {"Stored"}
                    if len(told) == 5:
                        break

    assert told == {str(event_id) for event_id in memory.stored}
