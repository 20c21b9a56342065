"""LiteLLM's proxy, whom we are compared with; it is no dependency, so it gets a venv of its own below .run/."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from subprocess import CalledProcessError

from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.ports import free_port
from tests.bench.running.processor import cpu_s
from tests.bench.running.servers import answers, resident_mib
from tests.bench.running.tools import installed
from tests.processes import ROOT

PROXY = ("litellm", "litellm[proxy]")
READY_S = 120.0
LOG = ROOT / ".run" / "litellm.log"


@dataclass(frozen=True)
class LiteLLM:
    """A proxy that runs."""

    url: str
    headers: dict[str, str]
    pid: int

    @property
    def resident_mib(self) -> float:
        return resident_mib(self.pid)

    @property
    def cpu_s(self) -> float:
        return cpu_s(self.pid)


async def can_be_run() -> bool:
    """Tell whether it is installed, or can be."""
    try:
        await asyncio.to_thread(installed, *PROXY)
    except CalledProcessError:
        return False
    return True


async def idle_resident_mib() -> float:
    """Start a proxy, and return what it takes in MiB when it is ready."""
    async with running_litellm(["--model", "gpt-4o"]) as proxy:
        return proxy.resident_mib


@asynccontextmanager
async def proxy_of(model_url: str) -> AsyncIterator[LiteLLM]:
    """Run a proxy whose model `bench` is at this address."""
    config = LOG.with_suffix(".yaml")
    place = f"model: openai/bench, api_base: {model_url}/v1, api_key: none"
    config.write_text(f"model_list: [{{model_name: bench, litellm_params: {{{place}}}}}]\n")
    async with running_litellm(["--config", str(config)]) as proxy:
        yield proxy


@asynccontextmanager
async def running_litellm(arguments: Sequence[str]) -> AsyncIterator[LiteLLM]:
    """Run a proxy with one worker and no database, once it is installed.

    Raises:
        CalledProcessError: It cannot be installed.
    """
    command = await asyncio.to_thread(installed, *PROXY)
    port, key = free_port(), f"sk-{secrets.token_hex(32)}"
    quiet = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    proxy = Child(
        "litellm",
        [str(command), *arguments, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"],
        log=LOG,
        env={**os.environ, **quiet},  # it does not start without a key
    )
    url = f"http://127.0.0.1:{port}"
    proxy.launch()
    try:
        await _ready(proxy, f"{url}/health/liveliness")
        assert proxy.pid is not None
        yield LiteLLM(url, {"Authorization": f"Bearer {key}"}, proxy.pid)
    finally:
        proxy.stop()


async def _ready(proxy: Child, url: str) -> None:
    async with asyncio.timeout(READY_S):
        while not await answers(url):
            assert proxy.running, f"the proxy ended; see {proxy.log}"
            await asyncio.sleep(0.5)
