"""Who listens takes little of the gateway's memory; `./run bench events` measures a thousand of them."""

from contextlib import AsyncExitStack
from pathlib import Path

from shared.settings import Settings
from tests.connected.gateway.live.listening import listening
from tests.processes import Process, running

FIRST = 50  # for what a process takes once
LISTENERS = 200
MOST_BYTES = 30_000  # each; 20,000 were measured


def resident_bytes(process: Process) -> int:
    """Return the resident memory of the process alone: a child of it makes documents, and ends."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024


async def test_a_listener_takes_little(settings: Settings, tmp_path: Path) -> None:
    async with running(settings, tmp_path, "gateway") as processes, AsyncExitStack() as streams:
        gateway = processes["gateway"]
        for number in range(FIRST):
            await streams.enter_async_context(listening(gateway, f"first-{number}"))
        before = resident_bytes(gateway)
        for number in range(LISTENERS):
            await streams.enter_async_context(listening(gateway, f"listener-{number}"))
        assert (resident_bytes(gateway) - before) / LISTENERS < MOST_BYTES
