"""Real loggers, a real broker and a real database, each killed while messages come: nothing confirmed is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import aio_pika
import asyncpg
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from shared.errors import BrokerAway
from shared.events import MessageEvent, ModelRegistered
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from shared.topology import LOGGER_CHAT
from tests.connected.brokers import raw_channel
from tests.connected.locks import until_blocked
from tests.processes import running
from tests.pure.logger.samples import answered, posted, trace
from tests.servers import looking, run_sql
from tests.settings import settings_for, with_database
from tests.waiting import PATIENCE_S, until, until_true

pytestmark = pytest.mark.fault

MESSAGES = 2000
SESSIONS = 40
AT_ONCE = 50


@pytest.fixture
async def settings(own_database: Postgres, breakable: RabbitMQ, request: pytest.FixtureRequest) -> Settings:
    """A database of the test's own; small groups make many transactions. Every test leaves the queues empty."""
    database = f"test_{abs(hash(request.node.name))}"
    await run_sql(own_database.url, f"CREATE DATABASE {database}")
    settings = settings_for(with_database(own_database.url, database), breakable.url, group_size=50)
    await asyncio.to_thread(migrate, settings)
    return settings


def conversations(count: int = MESSAGES) -> list[MessageEvent]:
    """Questions and their answers in some sessions, in the order in which they were said."""
    pairs = [(_question(number), _answer(number)) for number in range(count // 2)]
    return [event for pair in pairs for event in pair]


def _question(number: int) -> MessageEvent:
    return posted(f"q{number}", 2 * number, session_id=f"s{number % SESSIONS}")


def _answer(number: int) -> MessageEvent:
    return answered(f"a{number}", 2 * number + 1, session_id=f"s{number % SESSIONS}", trace=trace(f"t{number}"))


class Flow:
    """Messages on their way to the logger, while a test does something to it."""

    def __init__(self, publisher: Publisher, events: Sequence[MessageEvent]) -> None:
        self._publisher = publisher
        self._left = iter(events)
        self.confirmed: set[UUID] = set()

    async def run(self) -> None:
        await asyncio.gather(*(self._publish() for _ in range(AT_ONCE)))

    async def _publish(self) -> None:
        for event in self._left:
            try:
                await self._publisher.publish(event, deadline_s=PATIENCE_S)
            except BrokerAway:
                continue  # nobody knows whether the broker has it
            self.confirmed.add(event.event_id)

    async def reaches(self, share: float) -> None:
        """Wait until such a share of all messages is confirmed."""
        await until_true(lambda: len(self.confirmed) >= share * MESSAGES)


@asynccontextmanager
async def flowing(settings: Settings) -> AsyncIterator[Flow]:
    """Publish `MESSAGES` messages meanwhile, and wait for the last confirm."""
    async with Publisher(settings, "test") as publisher:
        flow = Flow(publisher, conversations())
        task = asyncio.create_task(flow.run())
        yield flow
        await task


async def test_killed_loggers_store_every_message_once(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, "logger_1", "logger_2") as loggers:
        async with flowing(settings) as flow:
            for number in range(6):
                await flow.reaches((number + 1) / 7)
                killed = loggers[f"logger_{number % 2 + 1}"]
                killed.kill()
                await killed.start()
        await all_stored(settings, flow)


async def test_killed_broker_loses_no_confirmed_message(
    settings: Settings, breakable: RabbitMQ, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger"):
        async with flowing(settings) as flow:
            for share in (0.3, 0.6):
                await flow.reaches(share)
                breakable.kill()
                await asyncio.to_thread(breakable.start)
        await all_stored(settings, flow)


async def test_logger_without_a_broker_says_what_it_cannot_do(
    settings: Settings, breakable: RabbitMQ, tmp_path: Path
) -> None:
    async with running(settings, tmp_path, "logger") as loggers:
        breakable.kill()

        async def everything_told() -> bool:
            queues = {"logger.chat", "logger.consumers", "dead"}
            return set(await loggers["logger"].faults()) == queues | {"publisher"}

        await until(everything_told, "every fault")
        await asyncio.to_thread(breakable.start)
        await loggers["logger"].ready()


async def test_killed_database_loses_no_message(settings: Settings, own_database: Postgres, tmp_path: Path) -> None:
    async with running(settings, tmp_path, "logger") as loggers:
        async with flowing(settings) as flow:
            for share in (0.2, 0.5):
                await flow.reaches(share)
                own_database.kill()
                await flow.reaches(share + 0.2)  # the broker takes what the logger can't store
                await asyncio.to_thread(own_database.start)
        await all_stored(settings, flow)
        await loggers["logger"].ready()


async def test_logger_killed_in_a_transaction_leaves_nothing_half_done(settings: Settings, tmp_path: Path) -> None:
    group = conversations(40)
    async with running(settings, tmp_path, "logger") as loggers, looking(settings.database_url) as owner:
        async with Publisher(settings, "test") as publisher, owner.transaction():
            await owner.execute("LOCK TABLE chat.traces IN EXCLUSIVE MODE")  # the last that a transaction writes
            await asyncio.gather(*map(publisher.publish, group))
            await until_blocked(owner)
            loggers["logger"].kill()
        assert await owner.fetchval("SELECT count(*) FROM chat.sessions") == 0
        await loggers["logger"].start()
        await until_stored(owner, {event.event_id for event in group})
        await assert_consistent(owner)


async def test_stopped_logger_leaves_what_it_has_not_stored(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, "logger") as loggers:
        async with flowing(settings) as flow:
            for share in (0.3, 0.6):
                await flow.reaches(share)
                assert await loggers["logger"].stop() == 0
                await loggers["logger"].start()
        await all_stored(settings, flow)


async def test_messages_that_come_three_times_are_stored_once(settings: Settings, tmp_path: Path) -> None:
    events = conversations(300)
    async with Publisher(settings, "test") as publisher, running(settings, tmp_path, "logger_1", "logger_2"):
        for _ in range(3):
            await asyncio.gather(*map(publisher.publish, events))
        async with looking(settings.database_url) as owner:
            await until_stored(owner, {event.event_id for event in events})
            await drained(settings)
            assert await owner.fetchval("SELECT sum(message_count) FROM chat.sessions") == 300
            await assert_consistent(owner)


async def test_bad_messages_are_parked_and_their_neighbours_stored(settings: Settings, tmp_path: Path) -> None:
    good = conversations(100)
    nul = posted("nul", parts=({"type": "text", "text": "\x00"},))
    unheard = ModelRegistered(name="gpt", provider="openai")
    negative = answered("negative", trace=trace("negative", duration_ms=-1.0))
    async with Publisher(settings, "test") as publisher, raw_channel(settings) as channel:
        queue = channel.default_exchange
        for event in good[:50]:
            await publisher.publish(event)
        await publisher.publish(nul)
        await queue.publish(aio_pika.Message(b"\xff garbage"), LOGGER_CHAT.name)
        await queue.publish(aio_pika.Message(good[0].body(), type="NoSuchEvent"), LOGGER_CHAT.name)
        await queue.publish(aio_pika.Message(unheard.body(), type="ModelRegistered"), LOGGER_CHAT.name)
        await publisher.publish(negative)
        for event in good[50:]:
            await publisher.publish(event)
    async with running(settings, tmp_path, "logger"), looking(settings.database_url) as owner:
        await until_stored(owner, {event.event_id for event in good})
        letters = await parked(owner, 5)
        await assert_consistent(owner)
    assert {(row["body"], row["reason"]) for row in letters} == {
        (nul.body(), "unstorable"),
        (negative.body(), "unstorable"),
        (good[0].body(), "unknown_type"),
        (unheard.body(), "undecodable"),
        (b"\xff garbage", "undecodable"),
    }
    assert all(row["queue"] == LOGGER_CHAT.name and row["error"] for row in letters)


async def all_stored(settings: Settings, flow: Flow) -> None:
    assert len(flow.confirmed) > MESSAGES / 2
    async with looking(settings.database_url) as owner:
        await until_stored(owner, flow.confirmed)
        await drained(settings)
        await assert_consistent(owner)
        assert await owner.fetchval("SELECT count(*) FROM chat.dead_letters") == 0


async def until_stored(owner: asyncpg.Connection, event_ids: set[UUID]) -> None:
    async def all_there() -> bool:
        return event_ids <= {row[0] for row in await owner.fetch("SELECT event_id FROM chat.messages")}

    await until(all_there, "every message")


async def parked(owner: asyncpg.Connection, count: int) -> list[asyncpg.Record]:
    async def letters() -> list[asyncpg.Record] | None:
        rows = await owner.fetch("SELECT * FROM chat.dead_letters")
        return rows if len(rows) >= count else None

    return await until(letters, f"{count} dead letters")


async def drained(settings: Settings) -> None:
    """Wait until the broker has nothing left, neither waiting nor unacknowledged."""
    async with raw_channel(settings) as channel:

        async def empty() -> bool:
            queue = await channel.declare_queue(LOGGER_CHAT.name, passive=True)
            return not queue.declaration_result.message_count

        await until(empty, "an empty queue")


async def assert_consistent(owner: asyncpg.Connection) -> None:
    """Every session's count, preview, title and activity are those of its messages, and every answer has its trace."""
    wrong = await owner.fetch(
        """
        SELECT session_id, message_count, said.count, last_message, said.newest FROM chat.sessions JOIN (
            SELECT session_id, count(*) AS count, min(created_at) AS first_at, max(created_at) AS last_at,
                (array_agg(content ORDER BY created_at DESC))[1] AS newest,
                (array_agg(content ORDER BY created_at) FILTER (WHERE role = 'user'))[1] AS first
            FROM chat.messages GROUP BY session_id
        ) AS said USING (session_id)
        WHERE (message_count, last_message, last_message_at, last_activity_at, created_at)
                <> (said.count, said.newest, said.last_at, said.last_at, said.first_at)
            OR title IS DISTINCT FROM said.first
        """
    )
    assert wrong == []
    traces = await owner.fetchval("SELECT count(*) FROM chat.traces")
    assert traces == await owner.fetchval("SELECT count(*) FROM chat.messages WHERE role = 'assistant'")
