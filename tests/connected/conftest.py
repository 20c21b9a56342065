"""Real servers: one pair a session; a fresh database and empty queues for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.migrate import migrate
from deploy.supervisor.private.servers import Postgres, RabbitMQ
from shared.settings import Settings
from tests.connected.brokers import NOBODY, own_broker
from tests.connected.workflow.stage import Stage, open_stage, running_workflow
from tests.installed.node import install
from tests.servers import Servers, copied_database, empty_broker, find_servers, looking, own_postgres, run_sql
from tests.settings import settings_for, with_database

TEMPLATE = "tripthread_template"


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


@pytest.fixture(scope="session")
def use_chat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the client that uses the AI SDK; return where it is."""
    return install("usechat", tmp_path_factory.mktemp("use_chat"))


@pytest.fixture
async def settings(request: pytest.FixtureRequest, servers: Servers, template: str) -> AsyncIterator[Settings]:
    """Settings for a database and a broker on which nothing has happened yet; no broker for a test that needs none."""
    async with copied_database(servers, template) as url:
        if request.node.get_closest_marker("no_broker"):
            yield settings_for(url, NOBODY)
        else:
            await empty_broker(servers.amqp_url)
            yield settings_for(url, servers.amqp_url)


@pytest.fixture
async def owner(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    async with looking(settings.database_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def own_database() -> Iterator[Postgres]:
    """A database of the module's own, to be killed."""
    with own_postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
async def breakable() -> AsyncIterator[RabbitMQ]:
    """A broker of the module's own, to be killed."""
    async with own_broker() as broker:
        yield broker


@pytest.fixture
async def quiet(settings: Settings, owner: asyncpg.Connection) -> AsyncIterator[Stage]:
    """A stage on which the workflow does not run yet."""
    async with open_stage(settings, owner) as stage:
        yield stage


@pytest.fixture
async def stage(quiet: Stage) -> AsyncIterator[Stage]:
    async with running_workflow(quiet.settings):
        yield quiet
