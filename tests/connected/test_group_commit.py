"""Group commit on a real broker: nothing is acknowledged that is not settled, and nothing is lost."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import aio_pika
import asyncpg
import pytest
from aiormq import spec
from pamqp.header import ContentHeader

from deploy.supervisor.servers import RabbitMQ
from shared import topology
from shared.errors import BrokerAway, Unstorable
from shared.events import MessageEvent, Outcome, Stored
from shared.group_commit import GroupCommit, decode_event
from shared.publisher import Publisher
from shared.settings import Settings
from shared.subscription import Delivery
from tests.connected.brokers import (
    NOBODY,
    answered,
    broker_settings,
    own_broker,
    posted,
    purge,
    raw_channel,
    take,
    until,
    waiting,
)
from tests.connected.conftest import empty_broker
from tests.servers import Servers

QUEUE = topology.LOGGER_CHAT


class Memory:
    """Commits like a database: all of a group, or nothing and an error."""

    def __init__(self) -> None:
        self.stored: dict[UUID, str] = {}
        self.groups: list[list[str]] = []  # what was committed, group by group
        self.attempts = 0
        self.fault: Callable[[Sequence[MessageEvent]], BaseException | None] = lambda _: None
        self.open = asyncio.Event()
        self.open.set()

    async def commit(self, events: Sequence[MessageEvent]) -> Sequence[Outcome]:
        self.attempts += 1
        await self.open.wait()
        if error := self.fault(events):
            raise error
        self.groups.append([event.content for event in events])
        self.stored |= {event.event_id: event.content for event in events}
        return [Stored(user_id="ada", session_id="s1", causes=tuple(event.event_id for event in events))]

    @property
    def contents(self) -> list[str]:
        return [content for group in self.groups for content in group]


def texts(count: int) -> list[str]:
    return [f"message {number}" for number in range(count)]


@pytest.fixture
async def settings(servers: Servers) -> Settings:
    """Empty queues; no test here needs a database."""
    await empty_broker(servers.amqp_url)
    return broker_settings(servers.amqp_url)


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, "test") as publisher:
        yield publisher


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture(scope="module")
async def breakable() -> AsyncIterator[RabbitMQ]:
    async with own_broker() as broker:
        yield broker


Consumer = GroupCommit[MessageEvent]


def decode_message(delivery: Delivery) -> MessageEvent:
    event = decode_event(delivery)
    assert isinstance(event, MessageEvent)
    return event


def consumer(
    settings: Settings, memory: Memory, publisher: Publisher, *, patience_s: float = 5.0, quiet_s: float = 10.0
) -> Consumer:
    return GroupCommit(
        settings,
        QUEUE,
        decode=decode_message,
        commit=memory.commit,
        publisher=publisher,
        patience_s=patience_s,
        quiet_s=quiet_s,
    )


def arrived(worker: Consumer) -> int:
    """Count what waits for the commit in flight to end."""
    return len(worker._subscription._buffer) if worker._subscription is not None else 0


@asynccontextmanager
async def running(worker: Consumer) -> AsyncIterator[asyncio.Task[None]]:
    """Run a consumer, and stop it in good order."""
    task = asyncio.create_task(worker.run())
    try:
        yield task
    finally:
        worker.stop()
        async with asyncio.timeout(15):
            await task


async def crash(task: asyncio.Task[None]) -> None:
    """End a consumer as a killed process ends: no ack, no farewell to the queue."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def publish(publisher: Publisher, count: int) -> None:
    for number in range(count):
        await publisher.publish(posted(number))


async def test_messages_are_committed_in_order_and_leave_the_queue(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publish(publisher, 30)

    async with running(consumer(settings, memory, publisher)):
        await until(lambda: len(memory.contents) == 30)

    assert memory.contents == texts(30)
    assert await waiting(settings, QUEUE) == 0


async def test_what_arrives_during_a_commit_is_the_next_group(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    worker = consumer(settings, memory, publisher)
    memory.open.clear()
    async with running(worker):
        await publisher.publish(posted(0))
        await until(lambda: memory.attempts == 1)
        for number in range(1, 21):
            await publisher.publish(posted(number))
        await until(lambda: arrived(worker) == 20)
        memory.open.set()
        await until(lambda: len(memory.contents) == 21)

    assert memory.groups == [texts(21)[:1], texts(21)[1:]]


async def test_a_group_is_no_larger_than_the_setting(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    await publish(publisher, 25)

    async with running(consumer(settings.model_copy(update={"group_size": 10}), memory, publisher)):
        await until(lambda: len(memory.contents) == 25)

    assert max(len(group) for group in memory.groups) <= 10


async def test_a_group_of_large_messages_is_small(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    worker = consumer(settings, memory, publisher)
    memory.open.clear()
    async with running(worker):
        await publisher.publish(answered(0))
        await until(lambda: memory.attempts == 1)
        for number in range(1, 6):
            await publisher.publish(answered(number, content=f"{number}" * 3_000_000))
        await until(lambda: arrived(worker) == 5)
        memory.open.set()
        await until(lambda: len(memory.contents) == 6)

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
    await until(lambda: memory.attempts == 2)
    await crash(task)

    left = await take(settings, QUEUE, 30 - len(memory.contents))

    assert [json.loads(message.body)["content"] for message in left] == texts(30)[len(memory.contents) :]
    assert await waiting(settings, QUEUE) == 0


async def test_a_guilty_message_is_parked_and_its_neighbours_are_stored(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    guilty = {"message 3", "message 17"}
    memory.fault = lambda events: Unstorable("too much") if any(event.content in guilty for event in events) else None
    await publish(publisher, 20)

    async with running(consumer(settings, memory, publisher)):
        parked = await take(settings, topology.DEAD, 2)
        await until(lambda: len(memory.contents) == 18)

    assert memory.contents == [text for text in texts(20) if text not in guilty]
    assert {json.loads(message.body)["content"] for message in parked} == guilty
    assert parked[0].headers["x-reason"] == "unstorable"
    assert parked[0].headers["x-error"] == "Unstorable: too much"
    assert parked[0].headers["x-queue"] == "logger.chat"
    assert (parked[0].type, parked[0].message_id) == ("MessagePosted", json.loads(parked[0].body)["event_id"])
    assert await waiting(settings, QUEUE) == 0


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
        await until(lambda: len(memory.contents) == 2)

    assert memory.contents == texts(2)
    assert {message.body for message in parked} == {b"\xff not JSON", b"{}"}
    assert {message.headers["x-reason"] for message in parked} == {"undecodable"}
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

    async with running(consumer(settings, memory, publisher)):
        (parked,) = await take(settings, topology.DEAD, 1)
        await until(lambda: memory.contents == texts(1))

    assert parked.body == b"body"
    assert parked.headers["x-reason"] == "undecodable"
    assert "utf-8" in str(parked.headers["x-error"])


async def test_a_message_that_cannot_be_parked_is_dead_lettered_by_the_broker(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda events: Unstorable() if events[0].content == "message 1" or len(events) > 1 else None
    await publish(publisher, 3)
    nowhere = settings.model_copy(update={"amqp_url": NOBODY, "publish_deadline_s": 0.2})

    async with Publisher(nowhere, "cut off") as cut_off, running(consumer(settings, memory, cut_off)):
        (dead,) = await take(settings, topology.DEAD, 1)
        await until(lambda: len(memory.contents) == 2)

    assert json.loads(dead.body)["content"] == "message 1"
    assert dead.headers["x-first-death-reason"] == "rejected"
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
        await until(lambda: memory.contents == texts(1))

    assert memory.attempts == 3
    assert reasons == ["the first one"]  # parking it again would have given it another
    assert await waiting(settings, topology.DEAD) == 0


async def test_a_database_that_is_away_is_waited_for(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    away = True
    memory.fault = lambda _: asyncpg.ConnectionDoesNotExistError("gone") if away else None
    await publish(publisher, 20)
    worker = consumer(settings, memory, publisher)

    async with running(worker):
        await until(lambda: memory.attempts >= 3)
        assert worker.fault() == "waiting for the database: ConnectionDoesNotExistError: gone"
        away = False
        await until(lambda: len(memory.contents) == 20)
        assert worker.fault() is None

    assert memory.contents == texts(20)


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
        await until(lambda: memory.attempts > 0)
        async with asyncio.timeout(10):
            while await waiting(settings, QUEUE) < 20:
                await asyncio.sleep(0.05)
        attempts = memory.attempts
        await until(lambda: memory.attempts >= attempts + 2)
        assert await waiting(settings, QUEUE) == 20  # nothing was taken again while the database was away
        away = False
        await until(lambda: len(memory.stored) == 20)
        await until(lambda: worker.fault() is None)

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
        await until(lambda: memory.attempts >= 2)
        assert 'relation "messages" does not exist' in (worker.fault() or "")
        missing.clear()
        await until(lambda: memory.contents == texts(1))


async def test_an_unknown_error_ends_the_consumer(settings: Settings, publisher: Publisher, memory: Memory) -> None:
    memory.fault = lambda _: KeyError("a bug")
    await publish(publisher, 3)
    worker = consumer(settings, memory, publisher)

    with pytest.raises(KeyError):
        await asyncio.wait_for(worker.run(), 10)

    assert worker.fault() == "ended by KeyError: a bug"
    assert len(await take(settings, QUEUE, 3)) == 3


async def test_stopping_settles_what_has_arrived_and_leaves_the_rest(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.open.clear()
    await publish(publisher, 30)
    worker = consumer(settings.model_copy(update={"prefetch": 10, "group_size": 4}), memory, publisher)
    async with running(worker):
        await until(lambda: memory.attempts == 1)
        await until(lambda: arrived(worker) > 0)
        worker.stop()
        memory.open.set()

    assert memory.contents == texts(30)[: len(memory.contents)]
    assert 10 <= len(memory.contents) < 30
    assert await waiting(settings, QUEUE) == 30 - len(memory.contents)
    assert worker.fault() == "stopped"


async def test_stopping_while_the_database_is_away_gives_everything_back(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    memory.fault = lambda _: ConnectionRefusedError("no database")
    await publish(publisher, 5)

    async with running(consumer(settings, memory, publisher, patience_s=60)):
        await until(lambda: memory.attempts >= 1)

    assert len(await take(settings, QUEUE, 5)) == 5


async def test_a_deleted_queue_is_declared_and_consumed_again(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    worker = consumer(settings, memory, publisher)
    await publisher.publish(posted(0))
    memory.open.clear()

    async with running(worker):
        await until(lambda: memory.attempts == 1)
        await publisher.publish(posted(1))
        async with raw_channel(settings) as channel:
            await channel.queue_delete(QUEUE.name)
            memory.open.set()
            await until(lambda: worker.fault() == "disconnected: the broker cancelled the consumer")
        await until(lambda: worker.fault() is None)
        await publisher.publish(posted(2))
        await until(lambda: "message 2" in memory.contents)

    # What had arrived was committed, although nobody would have delivered it again.
    assert memory.contents == texts(3)


async def test_a_consumer_that_the_broker_forgot_registers_again(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    await publisher.publish(posted(0))
    async with running(consumer(settings, memory, publisher, quiet_s=0.3)):
        await until(lambda: len(memory.contents) == 1)
        async with raw_channel(settings) as channel:
            await channel.queue_delete(QUEUE.name)
        # Heard by the deleted queue alone: the publisher declares it again, and RabbitMQ 3.10 tells no consumer.
        await publisher.publish(answered(1))
        await until(lambda: len(memory.contents) == 2)


async def test_outcomes_are_announced_in_one_message_after_the_commit(
    settings: Settings, publisher: Publisher, memory: Memory
) -> None:
    async with raw_channel(settings) as channel:
        hints = await channel.declare_queue(exclusive=True)
        await hints.bind(topology.OUTCOMES_EXCHANGE)
        await publish(publisher, 5)
        async with running(consumer(settings, memory, publisher)):
            await until(lambda: len(memory.contents) == 5)
            told: set[str] = set()
            async with asyncio.timeout(5), hints.iterator(no_ack=True) as messages:
                async for message in messages:
                    told |= {cause for outcome in json.loads(message.body) for cause in outcome["causes"]}
                    assert {outcome["outcome"] for outcome in json.loads(message.body)} == {"Stored"}
                    if len(told) == 5:
                        break

    assert told == {str(event_id) for event_id in memory.stored}


async def test_a_consumer_tells_that_the_broker_is_away(memory: Memory) -> None:
    settings = broker_settings(NOBODY, publish_deadline_s=0.1)
    async with Publisher(settings, "test") as publisher:
        worker = consumer(settings, memory, publisher)
        assert worker.fault() == "not started"
        async with running(worker):
            await until(lambda: (worker.fault() or "").startswith("disconnected: "))


@pytest.mark.fault
async def test_a_connection_lost_during_a_commit_brings_the_group_again(breakable: RabbitMQ, memory: Memory) -> None:
    settings = broker_settings(breakable.url)
    await purge(settings)
    async with Publisher(settings, "test") as publisher:
        await publish(publisher, 10)
        memory.open.clear()
        async with running(consumer(settings, memory, publisher)):
            await until(lambda: memory.attempts == 1)
            await asyncio.to_thread(breakable.ctl, "close_all_connections", "test")
            memory.open.set()
            # The commit in flight counts, but its ack would have been for tags of another channel.
            await until(lambda: len(memory.stored) == 10)

    first = len(memory.groups[0])
    assert memory.contents == texts(10)[:first] + texts(10)
    assert await waiting(settings, QUEUE) == 0


@pytest.mark.fault
async def test_every_confirmed_message_survives_a_broker_that_is_killed(breakable: RabbitMQ, memory: Memory) -> None:
    settings = broker_settings(breakable.url, publish_deadline_s=30)
    await purge(settings)
    confirmed: set[UUID] = set()

    async def publish_one(number: int) -> None:
        event = posted(number)
        with suppress(BrokerAway):
            await sender.publish(event)
            confirmed.add(event.event_id)

    async with Publisher(settings, "test") as sender, running(consumer(settings, memory, sender)):
        publishing = asyncio.gather(*(publish_one(number) for number in range(2000)))
        await until(lambda: len(memory.stored) > 200)
        breakable.kill()
        await asyncio.to_thread(breakable.start)
        await publishing
        await until(lambda: confirmed <= memory.stored.keys(), within_s=30)

    assert len(confirmed) == 2000
    assert await waiting(settings, QUEUE) == 0
