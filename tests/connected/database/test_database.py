"""A pool on a real PostgreSQL: a connection is lent again clean, and a database that hangs holds nobody up."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres
from shared.database import CLOSE_TIMEOUT_S, Connection, Pool, open_pool, reading, transaction
from shared.settings import Settings
from shared.topology import knowledge
from tests.connected.locks import until_blocked
from tests.settings import settings_for

INSERT = "INSERT INTO chat.erased_users (user_hash, erased_at) VALUES ('\\x01', now())"
COUNT = "SELECT count(*) FROM chat.erased_users"
SEEN = "SELECT tripthread.user_ids()"


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    """A single connection, so that each use of it follows the one before."""
    async with open_pool(settings.logger_database_url, "test", size=1) as pool:
        yield pool


@pytest.fixture(scope="module")
async def schema(own_database: Postgres) -> Postgres:
    """A database of the module's own, to be stopped, in which somebody can read."""
    await asyncio.to_thread(migrate, settings_for(own_database.url, "amqp://nowhere"))
    return own_database


async def cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def assert_clean(pool: Pool) -> None:
    """Check that nothing is left of the use before: no transaction, and nothing that it wrote."""
    async with pool.acquire() as db:
        assert not db.is_in_transaction()
        assert await db.fetchval(COUNT) == 0
        await db.execute(INSERT)  # refused in a transaction that has failed
    assert await pool.fetchval(COUNT) == 1


@asynccontextmanager
async def left_open(pool: Pool) -> AsyncIterator[Connection]:
    """Begin a transaction that nobody ends."""
    async with pool.acquire() as db:
        await db.execute("BEGIN")
        yield db


@pytest.mark.parametrize("begin", [transaction, left_open])
async def test_connection_given_back_in_mid_transaction_is_clean(
    pool: Pool, begin: Callable[[Pool], AbstractAsyncContextManager[Connection]]
) -> None:
    began = asyncio.Event()

    async def hold() -> None:
        async with begin(pool) as db:
            await db.execute(INSERT)
            began.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await began.wait()
    await cancel(holding)
    await assert_clean(pool)


async def test_name_says_which_events_a_process_knows_however_long_it_is(settings: Settings) -> None:
    async with open_pool(settings.logger_database_url, "logger-" + "x" * 100) as pool:
        name = str(await pool.fetchval("SHOW application_name"))
    assert name.startswith("logger-xxx")
    assert name.endswith(f"x {knowledge()}")


async def test_connection_given_back_in_mid_statement_is_clean(pool: Pool, owner: asyncpg.Connection) -> None:
    async def hold() -> None:
        async with transaction(pool) as db:
            await db.execute(INSERT)
            await db.execute("LOCK TABLE chat.templates IN ROW EXCLUSIVE MODE")

    async with owner.transaction():
        await owner.execute("LOCK TABLE chat.templates IN EXCLUSIVE MODE")
        holding = asyncio.create_task(hold())
        await until_blocked(owner)
        await cancel(holding)
        await assert_clean(pool)


async def test_connection_forgets_whom_it_read_for(settings: Settings) -> None:
    began = asyncio.Event()
    async with open_pool(settings.reader_database_url, "test", size=1) as pool:

        async def hold() -> None:
            async with reading(pool, "ada") as db:
                assert await db.fetchval(SEEN) == ["ada"]
                began.set()
                await asyncio.Event().wait()

        holding = asyncio.create_task(hold())
        await began.wait()
        await cancel(holding)
        assert await pool.fetchval(SEEN) == []


@pytest.mark.alone
@pytest.mark.fault
async def test_database_that_hangs_is_left_soon(own_database: Postgres) -> None:
    async with AsyncExitStack() as stack:
        async with open_pool(own_database.url, "hangs", size=1) as pool:
            hanging = await pool.fetchval("SELECT pg_backend_pid()")
            os.kill(hanging, signal.SIGSTOP)
            stack.callback(os.kill, hanging, signal.SIGCONT)
            began = time.monotonic()
        assert time.monotonic() - began < 2 * CLOSE_TIMEOUT_S


@pytest.mark.alone
@pytest.mark.fault
async def test_reading_that_hangs_is_left_in_time_and_makes_room(
    schema: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several that share one connection each is left in time, and the next one gets another connection."""
    monkeypatch.setattr("shared.database.READ_DEADLINE_S", 0.5)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(schema.url, "hangs", size=1))
        hanging = await pool.fetchval("SELECT pg_backend_pid()")
        os.kill(hanging, signal.SIGSTOP)
        stack.callback(os.kill, hanging, signal.SIGCONT)
        began = time.monotonic()
        answers = await asyncio.gather(*(backend(pool) for _ in range(5)), return_exceptions=True)
        assert time.monotonic() - began < 2
        assert {str(answer) for answer in answers} == {"no answer from the database in 0.5 s"}
        assert await backend(pool) != hanging


@pytest.mark.alone
@pytest.mark.fault
async def test_reading_that_hangs_and_is_cancelled_is_left_in_time(
    schema: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.database.READ_DEADLINE_S", 0.5)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(schema.url, "hangs", size=1))
        hanging = await pool.fetchval("SELECT pg_backend_pid()")
        os.kill(hanging, signal.SIGSTOP)
        stack.callback(os.kill, hanging, signal.SIGCONT)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await backend(pool)
        assert time.monotonic() - began < 2
        assert await backend(pool) != hanging


async def backend(pool: Pool) -> int:
    async with reading(pool, "ada") as db:
        pid: int = await db.fetchval("SELECT pg_backend_pid()")
        return pid


async def test_slow_statement_of_a_reading_leaves_its_connection_as_it_was(settings: Settings) -> None:
    async with open_pool(settings.reader_database_url, "test", size=1, statement_timeout_ms=100) as pool:
        before = await backend(pool)
        with pytest.raises(asyncpg.QueryCanceledError):
            async with reading(pool, "ada") as db:
                await db.execute("SELECT pg_sleep(10)")
        assert await backend(pool) == before


@pytest.mark.fault
async def test_reading_that_hangs_and_is_cancelled_ends_as_cancelled(
    schema: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever repeats what the database did not answer must still be ended by a cancellation."""
    monkeypatch.setattr("shared.database.READ_DEADLINE_S", 0.5)
    asked = asyncio.Event()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(schema.url, "hangs", size=1))
        hanging = await pool.fetchval("SELECT pg_backend_pid()")
        stack.callback(os.kill, hanging, signal.SIGCONT)

        async def read() -> None:
            async with reading(pool, "ada") as db:
                os.kill(hanging, signal.SIGSTOP)
                asked.set()
                await db.fetchval("SELECT 1")

        task = asyncio.create_task(read())
        await asked.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


@pytest.mark.parametrize(
    "user_ids",
    [
        (),
        ("ann",),
        ("ann", "visitor_1"),
        ("",),
        ("NULL", "null"),
        (
            "a,b",
            "{c}",
            ' "d" ',
            "e\\",
            '\\"',
            "it's",
            "'); DROP TABLE chat.messages; --",
            "\\x41",
            "ü€\U0001d4b3",
            "%s $1",
        ),
    ],
)
async def test_a_reading_is_for_these_users_however_they_are_called(
    settings: Settings, user_ids: tuple[str, ...]
) -> None:
    async with open_pool(settings.reader_database_url, "test") as pool, reading(pool, *user_ids) as db:
        assert tuple(await db.fetchval(SEEN)) == user_ids
