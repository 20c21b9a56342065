"""The sandbox as a process: it serves until it is told to stop, and refuses what it must."""

import asyncio
import os
import socket
import sys

import aiohttp
import pytest
from pydantic import ValidationError

from deploy.sandbox.settings import SandboxSettings
from tests.waiting import PATIENCE_S


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


async def start_process(**environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "deploy.sandbox",
        env={**os.environ, "ENVIRONMENT": "test", **environment},
        stderr=asyncio.subprocess.PIPE,
    )


async def wait_healthy(port: int) -> str:
    """Wait until the port answers; return what simulator it says it is."""
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://127.0.0.1:{port}/healthz") as response:
                    simulator: str = (await response.json())["simulator"]
                    return simulator
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("environment", ["production", "Production "])
def test_production_is_refused_without_telling_secrets(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", environment)
    monkeypatch.setenv("AVINODE_WEBHOOK_PASSWORD", "hush")
    with pytest.raises(ValidationError, match="refuses to run with ENVIRONMENT=production") as refused:
        SandboxSettings()

    assert "hush" not in str(refused.value)


async def test_process_serves_both_until_it_is_told_to_stop() -> None:
    model_port, avinode_port = unused_port(), unused_port()
    process = await start_process(LLM_PORT=str(model_port), AVINODE_PORT=str(avinode_port))
    try:
        assert await wait_healthy(model_port) == "model"
        assert await wait_healthy(avinode_port) == "avinode"
    finally:
        process.terminate()

    assert await asyncio.wait_for(process.wait(), timeout=PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"ENVIRONMENT": "production"}, "sandbox: the sandbox simulates the model and Avinode"),
        ({"LLM_PORT": "none"}, "sandbox: LLM_PORT: Input should be a valid integer"),
    ],
)
async def test_process_says_in_a_line_why_it_does_not_start(environment: dict[str, str], told: str) -> None:
    process = await start_process(**environment, AVINODE_WEBHOOK_PASSWORD="hush")
    _, said = await process.communicate()

    assert process.returncode == 1
    assert said.decode().startswith(told)
    assert said.decode().count("\n") == 1
    assert "hush" not in said.decode()


async def test_process_names_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await start_process(LLM_PORT=str(taken.getsockname()[1]))
        _, said = await process.communicate()

    assert process.returncode == 1
    assert "sandbox: can't listen" in said.decode()
