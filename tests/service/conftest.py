"""A simulated Avinode, and what its webhooks reach."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox_client import Avinode, Receiver, receiving, running_for


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as target:
        yield target


@pytest.fixture
async def avinode(receiver: Receiver) -> AsyncIterator[Avinode]:
    async with running_for(receiver) as client:
        yield client
