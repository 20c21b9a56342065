"""Real servers: one pair a session; a fresh database and empty queues for each test."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import asyncpg
import pytest
from aiormq.exceptions import ChannelNotFoundEntity

from deploy.migrate import SERVICE_URLS, migrate
from shared import topology
from shared.ids import new_id
from shared.settings import Settings
from tests.servers import Servers, find_servers

TEMPLATE = "tripthread_template"


def with_database(url: str, database: str, login: str | None = None) -> str:
    """Return `url` for another database and, where `login` is `user:password`, another user."""
    parts = urlsplit(url)
    address = f"{parts.hostname}:{parts.port}"
    user = login or f"{parts.username}:{parts.password}"
    return urlunsplit(("postgresql", f"{user}@{address}", f"/{database}", "", ""))


def settings_for(database_url: str, amqp_url: str, **overrides: object) -> Settings:
    """Return the settings that every service of one test shares."""
    database = urlsplit(database_url).path.removeprefix("/")
    roles = {name: name.removesuffix("_database_url") for name in SERVICE_URLS}
    urls = {name: with_database(database_url, database, f"tripthread_{role}:pw_{role}") for name, role in roles.items()}
    values = {
        "environment": "test",
        "database_url": database_url,
        "amqp_url": amqp_url,
        "internal_port": 0,
        "log_level": "WARNING",
        **urls,
        **overrides,
    }
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]  # a mapping of fields by name


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with find_servers() as found:
        yield found


@pytest.fixture(scope="session")
async def template(servers: Servers) -> str:
    """Migrate one database, which each test's own is a copy of."""
    await run_sql(
        servers.database_url, f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)", f"CREATE DATABASE {TEMPLATE}"
    )
    migrate(settings_for(with_database(servers.database_url, TEMPLATE), servers.amqp_url))
    return TEMPLATE


@pytest.fixture
async def settings(servers: Servers, template: str) -> AsyncIterator[Settings]:
    """Settings for a database and a broker on which nothing has happened yet."""
    database = f"test_{new_id().hex}"
    await run_sql(servers.database_url, f"CREATE DATABASE {database} TEMPLATE {template}")
    await empty_broker(servers.amqp_url)
    yield settings_for(with_database(servers.database_url, database), servers.amqp_url)
    await run_sql(servers.database_url, f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
async def owner(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, to see the tables as they are."""
    connection = await asyncpg.connect(settings.database_url)
    yield connection
    await connection.close()


async def run_sql(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def empty_broker(amqp_url: str) -> None:
    """Delete every queue and exchange of ours, whatever a test has left in them."""
    async with await aio_pika.connect(amqp_url) as connection:
        for queue in topology.QUEUES:
            channel = await connection.channel()
            try:
                await channel.queue_delete(queue.name)
            except ChannelNotFoundEntity:
                continue  # it was not there
        channel = await connection.channel()
        for exchange in (topology.EVENTS_EXCHANGE, topology.OUTCOMES_EXCHANGE):
            await channel.exchange_delete(exchange)
