"""A gateway on a database whose rows each test writes for itself, as the other services would."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.logger.store import Store
from shared.database import open_pool
from shared.settings import Settings
from tests.connected.gateway.stage import Log, Rows, Stage, open_stage, own_database
from tests.servers import Servers

EMPTY = """
    DO $$ BEGIN EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
        WHERE schemaname IN ('chat', 'tagging', 'gateway', 'workflow')
    ); END $$
"""


@pytest.fixture(scope="package")
async def read_settings(servers: Servers, template: str) -> AsyncIterator[Settings]:
    """One database for all of these tests: emptying it takes a tenth of what making one takes."""
    async with own_database(servers, template) as settings:
        yield settings


@pytest.fixture(scope="package")
async def read_stage(read_settings: Settings) -> AsyncIterator[Stage]:
    async with open_stage(read_settings) as opened:
        yield opened


@pytest.fixture
async def rows(read_settings: Settings) -> AsyncIterator[Rows]:
    owner = await asyncpg.connect(read_settings.database_url)
    yield Rows(owner)
    await owner.execute(EMPTY)
    await owner.close()


@pytest.fixture
def gateway(read_stage: Stage, rows: Rows) -> Stage:
    read_stage.http.cookies.clear()
    return read_stage


@pytest.fixture
async def log(read_settings: Settings) -> AsyncIterator[Log]:
    """Store a message as the logger does."""
    async with open_pool(read_settings.logger_database_url, "test", size=1) as pool:
        yield lambda message: Store(pool).store_chat([message], [])
