"""Two gateways in this process, on one database and broker, with a logger beside them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from shared.ids import new_id
from tests.connected.gateway.stage import Stage, open_stage, own_database
from tests.processes import Process, running
from tests.servers import Servers, empty_broker

PATIENT_S = 20.0  # for a stored row, since nothing of this is about how long it takes


@dataclass
class Two:
    here: Stage
    there: Stage
    logger: Process


@pytest.fixture(scope="module")
async def gateways(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Two]:
    await empty_broker(servers.amqp_url)
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(own_database(servers, template))
        settings = settings.model_copy(update={"stored_wait_s": PATIENT_S})
        directory = tmp_path_factory.mktemp("logger")
        services = await stack.enter_async_context(running(settings, directory, "logger"))
        here, there = [await stack.enter_async_context(open_stage(settings)) for _ in range(2)]
        hearing = [asyncio.create_task(stage.outcomes.run()) for stage in (here, there)]
        yield Two(here, there, services["logger"])
        for stage in (here, there):
            stage.outcomes.shut_down()
        await asyncio.gather(*hearing)


@pytest.fixture
def session() -> str:
    return f"s{new_id().hex}"
