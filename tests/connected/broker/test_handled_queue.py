"""Handlers of a queue on a real broker: one message after the other, and none is acknowledged that is not settled."""

import asyncio
import json

from shared import topology
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import QUEUE, Memory, crash, handled, publish, running, texts
from tests.connected.brokers import come, raw_channel, take, waiting
from tests.waiting import until_true


async def test_messages_are_settled_in_order_and_leave_the_queue(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publish(publisher, 200)

    async with running(handled(settings, memory, publisher)):
        await until_true(lambda: len(memory.contents) == 200)

    assert memory.groups == [[text] for text in texts(200)]
    assert await waiting(settings, QUEUE) == 0


async def test_nothing_is_acknowledged_before_it_is_committed(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publish(publisher, 30)
    memory.fault = lambda events: memory.open.clear() if events[0].content == "message 10" else None
    task = asyncio.create_task(handled(settings, memory, publisher).run())
    await until_true(lambda: memory.attempts == 12)
    await crash(task)

    left = await take(settings, QUEUE, 30 - len(memory.contents))

    assert [json.loads(message.body)["content"] for message in left] == texts(30)[len(memory.contents) :]
    assert await waiting(settings, QUEUE) == 0


async def test_stopping_settles_what_has_arrived_and_leaves_the_rest(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.open.clear()
    await publish(publisher, 30)
    worker = handled(settings.model_copy(update={"prefetch": 10}), memory, publisher)
    async with running(worker):
        await until_true(lambda: memory.attempts == 1)
        worker.shut_down()
        memory.open.set()

    assert memory.contents == texts(30)[: len(memory.contents)]
    assert await waiting(settings, QUEUE) == 30 - len(memory.contents)
    assert 1 <= len(memory.contents) < 30
    assert worker.fault() == "stopped"


async def test_an_outcome_is_announced_after_the_commit(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    async with raw_channel(settings) as channel:
        hints = await channel.declare_queue(exclusive=True)
        await hints.bind(topology.OUTCOMES_EXCHANGE)
        await publish(publisher, 1)
        async with running(handled(settings, memory, publisher)):
            await until_true(lambda: len(memory.contents) == 1)
        (told,) = await come(hints, 1)

    (outcome,) = json.loads(told.body)
    assert outcome["causes"] == [str(event_id) for event_id in memory.stored]
