"""What an old consumer did not know is parked as such, and is processed by itself once one that knows it starts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from services.logger.dead_letters.known import make_letter
from services.logger.handlers import ConsumerHandler
from services.logger.store import Store
from shared import topology
from shared.consuming.decoding import decode_event
from shared.consuming.group_commit import GroupCommit
from shared.consuming.subscription import Delivery
from shared.database import open_pool
from shared.errors import BrokerAway
from shared.events import ConsumerStarted, Event, Name, Outcome
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.brokers import NOBODY, take, waiting
from tests.processes import running
from tests.waiting import until, until_true

QUEUE = topology.TAGGER_SESSIONS


class ModelRetired(Event):
    """An event of the next release, which no consumer of this one knows."""

    name: Name


NEW_QUEUE = replace(QUEUE, hears=(*QUEUE.hears, ModelRetired))


class NewTagger:
    """The tagger of the next release, as far as this event goes."""

    def __init__(self, settings: Settings, publisher: Publisher, said_after_s: Sequence[float]) -> None:
        self.processed: list[UUID] = []
        self.worker = GroupCommit(
            settings,
            NEW_QUEUE,
            decode=self.decode,
            commit=self.commit,
            publisher=publisher,
            said_after_s=said_after_s,
        )

    def decode(self, delivery: Delivery) -> Event:
        if delivery.type == "ModelRetired":
            return ModelRetired.model_validate_json(delivery.body)
        return decode_event(delivery)

    async def commit(self, events: Sequence[Event]) -> Sequence[Outcome]:
        self.processed += [event.event_id for event in events]
        return []


@asynccontextmanager
async def new_tagger(settings: Settings, *said_after_s: float) -> AsyncIterator[NewTagger]:
    """Run the tagger of the next release; it says once that it has started, unless told otherwise."""
    async with Publisher(settings, "new tagger") as publisher:
        tagger = NewTagger(settings, publisher, said_after_s or (0,))
        task = asyncio.create_task(tagger.worker.run())
        try:
            yield tagger
        finally:
            tagger.worker.shut_down()
            await task


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, "test") as publisher:
        yield publisher


async def retire(publisher: Publisher, count: int = 1) -> list[UUID]:
    """Publish events of the next release to the queue that it binds to them; return their ids."""
    events = [ModelRetired(name=f"model-{number}") for number in range(count)]
    for event in events:
        await publisher.publish_to(
            QUEUE.name, event.body(), name="ModelRetired", message_id=str(event.event_id), headers={}
        )
    return [event.event_id for event in events]


async def letters(owner: asyncpg.Connection, state: str, arrivals: int = 1) -> list[asyncpg.Record]:
    """Return the letters of this state that have come at least so often."""
    return await owner.fetch("SELECT * FROM chat.dead_letters WHERE state = $1 AND arrivals >= $2", state, arrivals)


async def test_letters_of_a_type_are_processed_once_a_consumer_that_knows_it_starts(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger"):
        async with running(settings, tmp_path, "tagger"):
            event_ids = await retire(publisher, 3)
            parked = await until(lambda: three(owner, "parked"), "the letters")
        assert {(row["queue"], row["reason"], row["event_name"]) for row in parked} == {
            ("tagger.sessions", "unknown_type", "ModelRetired")
        }
        async with new_tagger(settings) as tagger:
            await until_true(lambda: len(tagger.processed) >= 3)
            replayed = await until(lambda: three(owner, "replayed"), "the letters' state")
    assert sorted(tagger.processed) == sorted(event_ids)
    assert {row["event_id"] for row in replayed} == set(event_ids)
    assert {row["decided_by"] for row in replayed} == {"tripthread"}
    assert await waiting(settings, QUEUE) == 0


async def three(owner: asyncpg.Connection, state: str) -> list[asyncpg.Record] | None:
    found = await letters(owner, state)
    return found if len(found) == 3 else None


async def two(owner: asyncpg.Connection) -> bool:
    return len(await letters(owner, "parked")) == 2


async def test_a_consumer_of_today_hears_again_what_yesterday_s_did_not_know(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, tmp_path: Path
) -> None:
    """The real tagger has something of today's in its queue that was parked by one that did not know it."""
    body = b'{"event_id": "0b0f0000-0000-4000-8000-000000000001", "name": "sandbox-large", "provider": "openai"}'
    headers = {"x-queue": QUEUE.name, "x-reason": "unknown_type", "x-error": "no event is called 'ModelRegistered'"}
    await publisher.publish_to("dead", body, name="ModelRegistered", message_id=None, headers=headers)
    async with running(settings, tmp_path, "logger"):
        await until(lambda: letters(owner, "parked"), "the letter")
        async with running(settings, tmp_path, "tagger"):
            await until(lambda: letters(owner, "replayed"), "the letter's state")
            await until(lambda: owner.fetchval("SELECT count(*) FROM tagging.models"), "the model")


async def test_a_letter_that_an_old_consumer_refuses_again_is_sent_again_later(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, tmp_path: Path
) -> None:
    """An upgrade that starts the new before it stops the old: the old one still has the queue."""
    async with running(settings, tmp_path, "logger", "tagger") as processes:
        (event_id,) = await retire(publisher)
        await until(lambda: letters(owner, "parked"), "the letter")
        async with new_tagger(settings, 0, *[0.5] * 60) as tagger:
            await until(lambda: letters(owner, "parked", arrivals=2), "the old one to refuse it again")
            assert tagger.processed == []
            await processes["tagger"].stop()
            await until_true(lambda: tagger.processed == [event_id])
            await until(lambda: letters(owner, "replayed", arrivals=2), "the letter's state")


async def test_a_letter_that_is_always_refused_does_not_go_round(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger", "tagger"):
        await retire(publisher)
        await until(lambda: letters(owner, "parked"), "the letter")
        async with new_tagger(settings, 0, 3):
            await until(lambda: letters(owner, "parked", arrivals=2), "a refusal")
            await until(lambda: letters(owner, "parked", arrivals=3), "another")
            await retire(publisher)
            await until(lambda: two(owner), "a letter that came after it")
        assert await owner.fetchval("SELECT max(arrivals) FROM chat.dead_letters") == 3


async def test_what_started_while_the_logger_was_away_is_seen_to_when_it_is_back(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "tagger"):
        (event_id,) = await retire(publisher)
        await until(lambda: arrived(settings, topology.DEAD), "the letter on its way")
    async with running(settings, tmp_path, "logger"):
        await until(lambda: letters(owner, "parked"), "the letter")
    async with new_tagger(settings) as tagger:
        await until(lambda: arrived(settings, topology.LOGGER_CONSUMERS), "its word")
        async with running(settings, tmp_path, "logger"):
            await until_true(lambda: tagger.processed == [event_id])


async def arrived(settings: Settings, queue: topology.Queue) -> bool:
    return await waiting(settings, queue) > 0


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with open_pool(settings.logger_database_url, "test") as pool:
        yield Store(pool)


async def park(
    store: Store, count: int, *, name: str = "ModelRetired", reason: str = "unknown_type", queue: str = QUEUE.name
) -> None:
    headers = {"x-queue": queue, "x-reason": reason, "x-error": "no"}
    bodies = [ModelRetired(name=f"model-{number}").body() for number in range(count)]
    await store.park([make_letter(body, headers, name=name, message_id=None) for body in bodies])


STARTED = ConsumerStarted(queue=QUEUE.name, hears=("MessagePosted", "ModelRetired"))


async def test_only_unknown_types_that_this_queue_hears_now_are_sent_back(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, store: Store
) -> None:
    await park(store, 2)
    await park(store, 1, name="ModelReplaced")
    await park(store, 1, reason="undecodable")
    await park(store, 1, queue="workflow.trips")

    await ConsumerHandler(store, publisher).commit([STARTED])

    assert [message.type for message in await take(settings, QUEUE, 2)] == ["ModelRetired"] * 2
    assert await waiting(settings, QUEUE) == await waiting(settings, topology.WORKFLOW_TRIPS) == 0
    assert (len(await letters(owner, "replayed")), len(await letters(owner, "parked"))) == (2, 3)


async def test_what_an_operator_has_dropped_stays_dropped(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, store: Store
) -> None:
    await park(store, 1)
    await owner.execute("UPDATE chat.dead_letters SET state = 'dropped', decided_by = 'eve', decided_at = now()")
    await ConsumerHandler(store, publisher).commit([STARTED])
    assert await waiting(settings, QUEUE) == 0


async def test_more_letters_than_a_batch_are_all_sent_back_once(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, store: Store
) -> None:
    await park(store, 250)
    handler = ConsumerHandler(store, publisher)

    await handler.commit([STARTED, STARTED])
    await handler.commit([STARTED])

    messages = await take(settings, QUEUE, 250)
    assert len({message.message_id for message in messages}) == 250
    assert await waiting(settings, QUEUE) == 0
    assert len(await letters(owner, "replayed")) == 250


async def test_two_loggers_at_once_lose_none(
    settings: Settings, owner: asyncpg.Connection, publisher: Publisher, store: Store
) -> None:
    await park(store, 120)
    await asyncio.gather(*(ConsumerHandler(store, publisher).commit([STARTED]) for _ in range(2)))
    messages = await take(settings, QUEUE, await waiting(settings, QUEUE))
    assert len({message.message_id for message in messages}) == 120  # perhaps twice each: consumers ignore repeats
    assert len(await letters(owner, "replayed")) == 120


async def test_a_broker_that_is_away_leaves_the_letters_parked(
    settings: Settings, owner: asyncpg.Connection, store: Store
) -> None:
    await park(store, 2)
    nowhere = settings.model_copy(update={"amqp_url": NOBODY, "publish_deadline_s": 0.1})
    async with Publisher(nowhere, "test") as cut_off:
        with pytest.raises(BrokerAway):
            await ConsumerHandler(store, cut_off).commit([STARTED])
    assert len(await letters(owner, "parked")) == 2


async def test_a_queue_that_nobody_knows_holds_nobody_up(publisher: Publisher, store: Store) -> None:
    await park(store, 1, queue="nowhere")
    await ConsumerHandler(store, publisher).commit([ConsumerStarted(queue="nowhere", hears=("ModelRetired",))])
