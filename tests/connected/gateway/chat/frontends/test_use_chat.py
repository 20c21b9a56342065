"""The AI SDK's useChat, from npm, against a running gateway: `tests/clients/usechat` says what its users do."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.installed.node import NODE, run
from tests.processes import Process, running
from tests.servers import Servers, looking
from tests.simulated import simulated
from tests.tokens import token_for


@dataclass
class Site:
    settings: Settings
    gateway: Process

    @property
    def environment(self) -> dict[str, str]:
        """What a browser must know to talk to the gateway."""
        return {
            "GATEWAY": f"http://127.0.0.1:{self.settings.http_port}",
            "TOKEN": token_for(self.settings, "ann"),
            "MODEL": self.settings.openai_base_url.removesuffix("/v1"),
        }


@pytest.fixture(scope="module")
async def site(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with (
        own_database(servers, template) as settings,
        simulated(settings) as outside,
        # Nobody makes the trips that are ordered here, and nobody waits for them.
        running(
            outside.settings.model_copy(update={"tool_call_s": 3.0}),
            tmp_path_factory.mktemp("logs"),
            "gateway",
            "logger",
        ) as processes,
    ):
        yield Site(outside.settings, processes["gateway"])


@pytest.mark.parametrize("sdk", ["newest", "oldest"])
async def test_use_chat_shows_what_is_kept(sdk: str, use_chat: Path, site: Site) -> None:
    environment = {**site.environment, "SDK": sdk}
    await asyncio.to_thread(run, *NODE, "--test", "scenarios.js", cwd=use_chat, env=environment)


@pytest.mark.fault
async def test_who_resumes_after_their_gateway_was_killed_sees_what_is_kept(use_chat: Path, site: Site) -> None:
    browser = await asyncio.create_subprocess_exec(
        *NODE, "killed.js", cwd=use_chat, env=site.environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        assert browser.stdout is not None
        async with asyncio.timeout(60):
            assert await browser.stdout.readline() == b"begun\n"
        site.gateway.kill()
        async with looking(site.settings.database_url) as owner:  # half a minute passes
            await owner.execute("UPDATE gateway.turns SET lease_until = clock_timestamp() WHERE state = 'running'")
        await site.gateway.start()
        async with asyncio.timeout(60):
            _, said = await browser.communicate(b"")
        assert browser.returncode == 0, said.decode()
    finally:
        if browser.returncode is None:
            browser.kill()
