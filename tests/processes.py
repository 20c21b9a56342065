"""Run services as processes of their own, as operators do, against the servers of one test."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from deploy.supervisor.checks import cache_dir
from deploy.supervisor.layout import PROJECT
from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[1]
# Hundreds are started: compiling what a gateway imports of ours takes a fifth of what its start takes.
BYTE_CODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{cache_dir(PROJECT)}/bytecode"}


class Process:
    """One service, started as `tripthread serve`; its output is in `log`."""

    def __init__(
        self, service: str, settings: Settings, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Describe it; `environment` has what is no setting. The default port is nobody's: tests run side by side."""
        self.service = service
        ports = {"internal_port": free_port()}
        if settings.http_port == Settings.model_fields["http_port"].default:
            ports["http_port"] = free_port()
        self.settings = settings.model_copy(update={**ports, "instance": log.stem})
        self._log = log
        self._environment = {**BYTE_CODE, **(environment or {})}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def lives(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def launch(self) -> None:
        """Start it, and return at once."""
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "serve", self.service],
                env={**os.environ, **environment_of(self.settings), **self._environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def start(self) -> None:
        """Start it, and return when it can do its job."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Return when it can do its job."""
        deadline = time.monotonic() + PATIENCE_S
        faults: object = "no answer"
        while faults:
            assert self._popen is not None
            assert self._popen.poll() is None, f"{self.service} ended:\n{self.log}"
            assert time.monotonic() < deadline, f"{self.service} is not ready: {faults}\n{self.log}"
            await asyncio.sleep(0.05)
            try:
                faults = await self.faults()
            except (aiohttp.ClientError, TimeoutError) as error:
                faults = str(error) or "no answer"

    async def faults(self) -> dict[str, str]:
        """Ask what it cannot do at the moment; nothing where it is ready."""
        url = f"http://{self.settings.internal_host}:{self.settings.internal_port}/readyz"
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as response:
            faults: dict[str, str] = (await response.json())["faults"]
            return faults

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL also waits until the process is gone."""
        assert self._popen is not None
        self._popen.send_signal(number)
        if number is signal.SIGKILL:
            self._popen.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait until it has ended by itself, and return its exit status."""
        assert self._popen is not None
        return await asyncio.to_thread(self._popen.wait, PATIENCE_S)

    async def stop(self) -> int:
        """Stop it in order, and return its exit status."""
        assert self._popen is not None
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.terminate()
        try:
            return await asyncio.to_thread(self._popen.wait, PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.service} did not stop:\n{self.log}") from None


def environment_of(settings: Settings) -> dict[str, str]:
    """Spell settings as the environment that makes them."""
    values = ((name, getattr(settings, name)) for name in Settings.model_fields)
    return {
        name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values
        if value is not None
    }


@asynccontextmanager
async def running(settings: Settings, directory: Path, *services: str) -> AsyncIterator[dict[str, Process]]:
    """Run one process of each of these services; a name may carry a number: `logger_2`."""
    processes = {name: Process(name.partition("_")[0], settings, directory / f"{name}.log") for name in services}
    try:
        await asyncio.gather(*(process.start() for process in processes.values()))
        yield processes
    finally:
        await asyncio.gather(*(process.stop() for process in processes.values()), return_exceptions=True)
