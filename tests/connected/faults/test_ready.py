"""Ready means that a process can do its work: what keeps it from that is seen within ten seconds, and told once."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiormq.exceptions import ChannelPreconditionFailed

from shared import topology
from shared.broker.declaring import Declaring
from shared.database import lacking, open_pool, probe
from shared.errors import BrokerAway
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.brokers import answered, raw_channel
from tests.processes import Process, running
from tests.servers import run_sql
from tests.settings import with_database
from tests.waiting import until

SEEN_S = 10.0
REVOKE = "REVOKE INSERT ON chat.messages FROM tripthread_logger"
GRANT = "GRANT INSERT ON chat.messages TO tripthread_logger"


def condition(process: Process, kind: str, name: str) -> Callable[[], Awaitable[str | None]]:
    """Look for what a process says to be wrong with something; without a word where it says nothing of it."""

    async def look() -> str | None:
        url = f"http://127.0.0.1:{process.settings.internal_port}/readyz"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            said: str | None = (await response.json())[kind].get(name)
            return said

    return look


def well(look: Callable[[], Awaitable[str | None]]) -> Callable[[], Awaitable[bool]]:
    async def is_well() -> bool:
        return await look() is None

    return is_well


def says(look: Callable[[], Awaitable[str | None]], text: str) -> Callable[[], Awaitable[bool]]:
    async def is_said() -> bool:
        return text in (await look() or "")

    return is_said


async def test_a_missing_grant_is_seen_and_its_end(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    told = settings.model_copy(update={"log_level": "INFO"})
    async with running(told, tmp_path, "logger") as processes:
        logger = processes["logger"]
        look = condition(logger, "faults", "database")
        await owner.execute(REVOKE)
        await until(says(look, "rights to chat.messages"), "the fault", SEEN_S)
        await until(lambda: written(logger, "away"), "the line in the log", SEEN_S)
        await owner.execute(GRANT)
        await until(well(look), "its end", SEEN_S)
        await until(lambda: written(logger, "back"), "the other line", SEEN_S)
    assert [len(re.findall(rf"\b{word} .*database", logger.log)) for word in ("away", "back")] == [1, 1]


async def written(process: Process, word: str) -> bool:
    return re.search(rf"\b{word} .*database", process.log) is not None


async def test_a_database_that_has_become_read_only_is_seen(
    settings: Settings, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    database = await owner.fetchval("SELECT current_database()")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tripthread_logger'"
    async with running(settings, tmp_path, "logger") as processes:
        look = condition(processes["logger"], "faults", "database")
        await owner.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        await owner.execute(others)
        await until(says(look, "the database is read-only"), "the fault", SEEN_S)
        maintenance = with_database(settings.database_url, "postgres")
        await run_sql(maintenance, f"ALTER DATABASE {database} RESET default_transaction_read_only", others)
        await until(well(look), "its end", SEEN_S)


async def test_each_login_has_what_it_needs_and_not_less(settings: Settings, owner: asyncpg.Connection) -> None:
    writers = {"gateway": "gateway", "chat": "logger", "tagging": "tagger", "workflow": "workflow"}
    for schema, service in writers.items():
        async with open_pool(getattr(settings, f"{service}_database_url"), "test", 1) as pool:
            assert await probe(pool, schema) is None
            other = next(name for name in writers if name != schema)
            assert f"rights to {other}." in (await probe(pool, other) or "")
    for role in ("reader", "admin"):
        async with open_pool(getattr(settings, f"{role}_database_url"), "test", 1) as pool:
            assert await probe(pool) is None
    await owner.execute("REVOKE SELECT ON workflow.trips FROM tripthread_reader")
    async with open_pool(settings.reader_database_url, "test", 1) as pool:
        assert "rights to workflow.trips" in (await probe(pool) or "")
    assert (
        await lacking(owner, "nowhere") == "this login has not all of its rights to nowhere: run `tripthread migrate`"
    )


async def test_a_gateway_tells_of_a_queue_of_another_shape_and_makes_it_anew(
    settings: Settings, tmp_path: Path
) -> None:
    queue = topology.TAGGER_SESSIONS.name
    async with running(settings, tmp_path, "gateway") as processes, raw_channel(settings) as channel:
        look = condition(processes["gateway"], "degraded", "broker")
        while not await made_otherwise(settings, queue):
            pass
        await until(says(look, "PRECONDITION_FAILED"), "the other shape", SEEN_S)
        await channel.queue_delete(queue)
        await until(well(look), "the queue of the right shape", SEEN_S)
        await channel.declare_queue(queue, durable=True, arguments=topology.TAGGER_SESSIONS.arguments)


async def made_otherwise(settings: Settings, queue: str) -> bool:
    """Give a queue another shape; False where the gateway was sooner to make it anew."""
    async with raw_channel(settings) as channel:
        await channel.queue_delete(queue)
        with suppress(ChannelPreconditionFailed):
            await channel.declare_queue(queue, durable=True)
            return True
    return False


async def test_a_gateway_makes_a_deleted_queue_anew_without_being_used(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, "gateway"), raw_channel(settings) as channel:
        for queue in topology.QUEUES:
            await channel.queue_delete(queue.name)

        async def there() -> bool:
            async with raw_channel(settings) as other:
                try:
                    for queue in topology.QUEUES:
                        await other.declare_queue(queue.name, passive=True)
                except Exception:  # noqa: BLE001 - whatever it is, it is not there
                    return False
            return True

        await until(there, "every queue")


async def test_an_event_that_no_queue_takes_is_a_fault_until_one_is_taken(settings: Settings) -> None:
    binding = (topology.EVENTS_EXCHANGE, answered(1).routing_key())
    async with Publisher(settings, "test") as publisher, raw_channel(settings) as channel:
        queue = await channel.get_queue(topology.LOGGER_CHAT.name)
        await queue.unbind(*binding)
        with pytest.raises(BrokerAway):
            await publisher.publish(answered(1))
        assert (publisher.away, publisher.fault()) == (
            None,
            "no queue takes 'message.answered' from exchange 'events'",
        )
        await queue.bind(*binding)
        await publisher.publish(answered(2))
        assert publisher.fault() is None


async def test_an_event_that_is_refused_is_a_fault_until_one_is_taken(settings: Settings) -> None:
    async with Publisher(settings, "test", Declaring()) as publisher, raw_channel(settings) as channel:
        full: dict[str, Any] = {"x-max-length": 0, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("test.full", exclusive=True, arguments=full)
        await queue.bind(topology.EVENTS_EXCHANGE, answered(1).routing_key())
        with pytest.raises(BrokerAway):
            await publisher.publish(answered(1), deadline_s=1)
        assert (publisher.fault() or "").startswith("not confirmed in time")
        await queue.delete(if_empty=False)
        await publisher.publish(answered(2))
        assert publisher.fault() is None


async def test_a_replay_to_nowhere_is_nobody_s_fault(settings: Settings) -> None:
    async with Publisher(settings, "test", Declaring()) as publisher:
        with pytest.raises(BrokerAway):
            await publisher.publish_to("nowhere", b"", name=None, message_id=None, headers={})
        assert publisher.fault() is None
