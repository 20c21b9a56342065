"""What `tripthread migrate` closes: the database to strangers, large objects to services, its lock to everybody."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.migrate import LOCK_TABLE, SERVICE_URLS, migrate
from shared.settings import Settings
from tests.connected.locks import until_blocked
from tests.servers import looking, run_sql
from tests.settings import with_database
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.no_broker

LOGINS = tuple(name for name in SERVICE_URLS)


@pytest.fixture
async def migrated(settings: Settings) -> Settings:
    """Provide a database that was migrated itself: a copy has the template's tables and none of its own rights."""
    await asyncio.to_thread(migrate, settings)
    return settings


@pytest.fixture
async def stranger(settings: Settings) -> AsyncIterator[str]:
    """A login of the same server that is nobody here."""
    await run_sql(settings.database_url, "CREATE ROLE stranger LOGIN PASSWORD 'pw_stranger'")
    database = settings.database_url.rpartition("/")[2]
    yield with_database(settings.database_url, database, "stranger:pw_stranger")
    await run_sql(settings.database_url, "DROP ROLE stranger")


async def test_stranger_cannot_connect(migrated: Settings, stranger: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="CONNECT"):
        await asyncpg.connect(stranger)


@pytest.mark.parametrize("login", LOGINS)
async def test_service_connects_and_makes_no_table_of_its_own(migrated: Settings, login: str) -> None:
    async with looking(getattr(migrated, login)) as service:
        assert await service.fetchval("SELECT 1") == 1
        for statement in ("CREATE TEMP TABLE t (x int)", "CREATE TABLE public.t (x int)", "CREATE SCHEMA mine"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)


@pytest.mark.parametrize("login", LOGINS)
async def test_service_makes_no_large_object(migrated: Settings, login: str) -> None:
    async with looking(getattr(migrated, login)) as service:
        for call in ("lo_creat(-1)", "lo_create(0)", "lo_from_bytea(0, 'x')", "lo_import('/etc/hostname')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(f"SELECT {call}")


@pytest.mark.parametrize("login", LOGINS)
async def test_service_cannot_hold_up_a_migration(migrated: Settings, login: str) -> None:
    async with looking(getattr(migrated, login)) as service:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(f"BEGIN; LOCK TABLE {LOCK_TABLE} IN ACCESS SHARE MODE")
        await service.execute("ROLLBACK")
        await service.execute("SELECT pg_advisory_lock(7470951386)")

        async with asyncio.timeout(PATIENCE_S):
            await asyncio.to_thread(migrate, migrated)


async def test_migration_waits_for_another_and_for_no_dump(migrated: Settings, owner: asyncpg.Connection) -> None:
    async with owner.transaction():
        await owner.execute(f"LOCK TABLE {LOCK_TABLE} IN ACCESS SHARE MODE")  # as pg_dump does
        await asyncio.to_thread(migrate, migrated)
    async with looking(migrated.database_url) as other, other.transaction():
        await other.execute(f"LOCK TABLE {LOCK_TABLE} IN SHARE ROW EXCLUSIVE MODE")  # as a migration does
        waiting = asyncio.create_task(asyncio.to_thread(migrate, migrated))
        await until_blocked(owner)
        assert not waiting.done()
    await waiting


async def test_first_migrations_at_once_make_one_schema(settings: Settings, owner: asyncpg.Connection) -> None:
    database = "at_once"
    await run_sql(
        settings.database_url, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", f"CREATE DATABASE {database}"
    )
    urls = {name: with_database(getattr(settings, name), database) for name in (*SERVICE_URLS, "database_url")}
    mine = settings.model_copy(update=urls)

    await asyncio.gather(*(asyncio.to_thread(migrate, mine) for _ in range(4)))

    async with looking(mine.database_url) as made:
        assert await made.fetchval("SELECT count(*) FROM tripthread.revision") == 1
    await owner.execute(f"DROP DATABASE {database} WITH (FORCE)")


async def test_owner_of_the_database_alone_migrates_and_says_what_stays_open(
    settings: Settings, owner: asyncpg.Connection
) -> None:
    roles = ", ".join(("tripthread_owner", *(f"tripthread_{name.removesuffix('_database_url')}" for name in LOGINS)))
    await owner.execute("CREATE ROLE manager LOGIN CREATEROLE PASSWORD 'pw_manager'")
    await owner.execute(f"GRANT {roles} TO manager WITH ADMIN OPTION")
    await owner.execute("CREATE DATABASE managed OWNER manager")
    try:
        managed = settings.model_copy(
            update={"database_url": with_database(settings.database_url, "managed", "manager:pw_manager")}
        )
        for _ in range(2):
            (note,) = await asyncio.to_thread(migrate, managed)
            assert "only a superuser" in note
    finally:
        await owner.execute("DROP DATABASE managed WITH (FORCE)")
        await owner.execute("DROP OWNED BY manager")
        await owner.execute("DROP ROLE manager")
