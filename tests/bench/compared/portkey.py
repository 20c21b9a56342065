"""Portkey's gateway, whom we are compared with; it is no dependency, so it is installed below .run/."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.supervisor.machine.child import Child
from deploy.supervisor.machine.ports import free_port
from tests.bench.running.servers import answers
from tests.installed.node import NODE, NPM, run
from tests.processes import ROOT

PLACE = ROOT / ".run" / "portkey"
PACKAGE = "@portkey-ai/gateway@1.15.2"
READY_S = 30.0


async def can_be_run() -> bool:
    """Tell whether it is installed, or can be."""
    if (PLACE / "node_modules").exists():
        return True
    PLACE.mkdir(parents=True, exist_ok=True)
    wanted = ("install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE)
    try:
        await asyncio.to_thread(run, *NPM, *wanted, cwd=PLACE)
    except AssertionError:  # what npm said
        return False
    return True


@asynccontextmanager
async def running_portkey(model_url: str) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Run it; yield where it is, and the headers by which it asks the model at this address."""
    port = free_port()
    program = PLACE / "node_modules/@portkey-ai/gateway/build/start-server.js"
    proxy = Child("portkey", [*NODE, str(program), f"--port={port}", "--headless"], log=PLACE / "portkey.log")
    url = f"http://127.0.0.1:{port}"
    proxy.launch()
    try:
        async with asyncio.timeout(READY_S):
            while not await answers(url):
                assert proxy.running, f"Portkey ended; see {proxy.log}"
                await asyncio.sleep(0.2)
        yield url, {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{model_url}/v1", "Authorization": "none"}
    finally:
        proxy.stop()
