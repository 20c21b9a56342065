"""An idle LiteLLM proxy, to compare memory with; it is no dependency, so it gets a venv of its own below .run/."""

import asyncio
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from deploy.supervisor.child import Child
from deploy.supervisor.ports import free_port
from tests.bench.servers import resident_mib
from tests.processes import ROOT

VENV = ROOT / ".run" / "litellm"
REQUIREMENT = "litellm[proxy]"
READY_S = 120.0


async def idle_resident_mib() -> float:
    """Start a proxy with one worker and no database, and return what it takes in MiB when it is ready."""
    command = await asyncio.to_thread(_install)
    port = free_port()
    proxy = Child(
        "litellm",
        [str(command), "--model", "gpt-4o", "--host", "127.0.0.1", "--port", str(port)],
        log=VENV.with_suffix(".log"),
        env={**os.environ, "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}"},  # it does not start without
    )
    proxy.launch()
    try:
        await _ready(proxy, f"http://127.0.0.1:{port}/health/liveliness")
        assert proxy.pid is not None
        return resident_mib(proxy.pid)
    finally:
        proxy.stop()


def _install() -> Path:
    command = VENV / "bin" / "litellm"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([str(VENV / "bin" / "pip"), "install", "-q", REQUIREMENT], check=True)
    return command


async def _ready(proxy: Child, url: str) -> None:
    async with asyncio.timeout(READY_S):
        while not await asyncio.to_thread(_answers, url):
            assert proxy.running, f"the proxy ended; see {proxy.log}"
            await asyncio.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - a loopback address of ours
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
