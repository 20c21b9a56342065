"""A gateway's turns, on which nothing has been said yet."""

from collections.abc import AsyncIterator

import pytest

from shared.settings import Settings
from tests.connected.gateway.turns.turn_stage import Gateway, open_gateway


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    async with open_gateway(settings) as gateway:
        yield gateway
