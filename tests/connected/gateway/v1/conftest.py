"""The gateway's API with a model stand-in behind it, and OpenAI's own client before it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from openai import AsyncOpenAI

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.connected.gateway.stage import Stage, open_stage
from tests.tokens import token_for


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        told = settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1"})
        yield await stack.enter_async_context(open_stage(told))


@pytest.fixture
def client(stage: Stage) -> AsyncOpenAI:
    key = token_for(stage.settings, "ann")
    return AsyncOpenAI(api_key=key, base_url="http://gateway.test/v1", http_client=stage.http, max_retries=2)
