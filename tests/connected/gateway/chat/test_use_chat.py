"""The AI SDK's useChat, from npm, against a running gateway: `tests/clients/usechat` says what its users do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.node import NODE, run
from tests.processes import running
from tests.servers import Servers
from tests.simulated import simulated
from tests.tokens import token_for


@pytest.fixture(scope="module")
async def browser(
    servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, str]]:
    """What a browser must know to talk to a gateway."""
    async with (
        own_database(servers, template) as settings,
        simulated(settings) as outside,
        running(outside.settings, tmp_path_factory.mktemp("logs"), "gateway", "logger"),
    ):
        yield environment(outside.settings)


def environment(settings: Settings) -> dict[str, str]:
    return {
        "GATEWAY": f"http://127.0.0.1:{settings.http_port}",
        "TOKEN": token_for(settings, "ann"),
        "MODEL": settings.openai_base_url.removesuffix("/v1"),
    }


@pytest.mark.parametrize("sdk", ["newest", "oldest"])
async def test_use_chat_shows_what_is_kept(sdk: str, use_chat: Path, browser: dict[str, str]) -> None:
    await asyncio.to_thread(run, *NODE, "--test", "scenarios.js", cwd=use_chat, env={**browser, "SDK": sdk})
