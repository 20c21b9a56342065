"""Clients that are generated from /openapi.json compile, and talk to a running gateway."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.installed.node import CLIENTS, NODE, install, run
from tests.installed.venvs import venv_with
from tests.processes import running
from tests.tokens import token_for


@pytest.fixture
async def gateway(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Run a gateway and a logger, and keep the document beside the clients, as `openapi.json`."""
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        update = {"http_port": free_port(), "openai_base_url": f"{sandbox.model}/v1"}
        mine = settings.model_copy(update=update)
        async with running(mine, tmp_path, "gateway", "logger"):
            async with aiohttp.ClientSession() as http, http.get(f"{address(mine)}/openapi.json") as response:
                (tmp_path / "openapi.json").write_bytes(await response.read())
            yield mine


def address(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.http_port}"


def check(printed: str, session_id: str) -> None:
    assert json.loads(printed) == {
        "said": "hello",
        "messages": [["user", "[echo hello]"], ["assistant", "hello"]],
        "sessions": [session_id],
        "code": "not_found",
    }


async def test_a_typescript_client_compiles_and_talks(gateway: Settings, tmp_path: Path) -> None:
    def talk() -> str:
        project = install("typescript", tmp_path)
        run(*NODE, "node_modules/openapi-typescript/bin/cli.js", "../openapi.json", "-o", "api.ts", cwd=project)
        run(*NODE, "node_modules/typescript/bin/tsc", "-p", ".", cwd=project)
        return run(*NODE, "talk.ts", address(gateway), token_for(gateway, "ann"), cwd=project)

    check(await asyncio.to_thread(talk), "typescript")


async def test_a_python_client_is_made_and_talks(gateway: Settings, tmp_path: Path) -> None:
    """The generator has an environment of its own, since it wants an older typer than we do."""
    generated = tmp_path / "generated"

    def talk() -> str:
        python = venv_with(CLIENTS / "python/requirements.txt", tmp_path)
        config = ("--config", CLIENTS / "python/generator.yaml")
        generator = (tmp_path / "venv/bin/openapi-python-client", "generate", "--fail-on-warning", *config)
        run(*generator, "--path", tmp_path / "openapi.json", "--output-path", generated, cwd=tmp_path)
        shutil.copy(CLIENTS / "python/talk.py", generated)
        return run(python, "talk.py", address(gateway), token_for(gateway, "ann"), cwd=generated)

    check(await asyncio.to_thread(talk), "python")
