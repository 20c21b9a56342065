"""A gateway whose model calls tools, on real tables of trips."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage


@pytest.fixture
async def told(settings: Settings) -> AsyncIterator[Settings]:
    """Settings with a model."""
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        yield settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1"})


@pytest.fixture
async def stage(told: Settings) -> AsyncIterator[Stage]:
    async with open_stage(told) as opened:
        yield opened


@pytest.fixture
def rows(owner: asyncpg.Connection) -> Rows:
    return Rows(owner)
