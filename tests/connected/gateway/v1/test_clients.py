"""OpenAI's clients in Python and JavaScript, LangChain and the Agents SDK, against a running gateway.

Nothing of them is ours; `tests/clients/openai_python` and `tests/clients/openai_js` say what they do.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from shared.settings import Settings
from tests.connected.gateway.stage import own_database
from tests.installed.node import CLIENTS, NODE, install, run
from tests.installed.venvs import venv_with
from tests.processes import running
from tests.servers import Servers
from tests.tokens import token_for


@pytest.fixture(scope="module")
async def gateway(servers: Servers, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    async with (
        own_database(servers, template) as settings,
        serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox,
    ):
        told = settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1"})
        async with running(told, tmp_path_factory.mktemp("logs"), "gateway", "logger") as processes:
            yield processes["gateway"].settings


def address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.http_port}"


async def test_pythons_clients_need_nothing_but_the_address_and_a_key(gateway: Settings, tmp_path: Path) -> None:
    def talk() -> str:
        client = CLIENTS / "openai_python"
        python = venv_with(client / "requirements.txt", tmp_path)
        return run(python, client / "talk.py", address(gateway), token_for(gateway, "ann"), cwd=tmp_path)

    assert "agents_call_their_tool_and_stream_by_responses" in await asyncio.to_thread(talk)


async def test_javascripts_client_needs_nothing_but_the_address_and_a_key(gateway: Settings, tmp_path: Path) -> None:
    def talk() -> None:
        project = install("openai_js", tmp_path)
        env = {"GATEWAY": address(gateway), "TOKEN": token_for(gateway, "bob")}
        run(*NODE, "--test", "scenarios.js", cwd=project, env=env)

    await asyncio.to_thread(talk)
