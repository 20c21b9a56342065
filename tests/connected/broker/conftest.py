"""A broker with empty queues; no test here needs a database."""

from collections.abc import AsyncIterator

import pytest

from shared.broker.declaring import Declaring
from shared.publishing.publisher import Publisher
from shared.settings import Settings
from tests.connected.broker.consuming import Memory
from tests.connected.brokers import broker_settings
from tests.servers import Servers, empty_broker


@pytest.fixture
async def settings(servers: Servers) -> Settings:
    await empty_broker(servers.amqp_url)
    return broker_settings(servers.amqp_url)


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings, "test", Declaring()) as publisher:
        yield publisher


@pytest.fixture
def memory() -> Memory:
    return Memory()
