"""What every process has: logs, telemetry, an internal HTTP server, and an orderly end.

`/healthz` says that the process is up, `/readyz` that it can do its job, `/metrics` what it has done. They listen on
the internal address, which is never public.
"""

import asyncio
import gc
import inspect
import signal
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.process.condition import Condition, Outages
from shared.process.logs import configure_logs
from shared.process.telemetry import configure_telemetry, shut_down_telemetry
from shared.settings import Settings

Probe = Callable[[], str | Awaitable[str | None] | None]
PROBE_TIMEOUT_S = 3.0
WATCH_EVERY_S = 5.0
COLLECT_EVERY = 10_000  # objects that were made and are still there; CPython's default is 700

log = structlog.get_logger(__name__)


class Worker(Protocol):
    """Something that works until it is told to stop."""

    async def run(self) -> None:
        """Work until `shut_down`; an error that leaves here ends the process."""

    def shut_down(self) -> None:
        """Ask `run` to finish what it has begun and return."""

    def fault(self) -> str | None:
        """Say why the work does not go on at the moment; None while it does."""


class Service:
    """One process of Tripthread.

    `async with Service(settings, "logger") as service: await service.run(worker, ...)`
    """

    def __init__(self, settings: Settings, name: str, routes: Iterable[web.RouteDef] = ()) -> None:
        """Prepare one.

        Args:
            settings: Where it listens, and what every process is told.
            name: Which service it is.
            routes: What its internal address serves besides.
        """
        self._settings = settings
        self.name = name
        self._routes = routes
        self._probes: dict[str, Probe] = {}
        self._degrades: set[str] = set()
        self._was_ready = False
        self._running = False
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        configure_logs(self._settings, self.name)
        self._tracing = configure_telemetry(self._settings, self.name)
        self._runner = await self._serve_internal()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await shut_down_telemetry(self._tracing)

    def check(self, name: str, probe: Probe, *, degrades: bool = False) -> None:
        """Make readiness depend on `probe`, which returns None or says what is wrong.

        Args:
            name: What is asked.
            probe: Who answers.
            degrades: A process that was ready stays so without it.
        """
        self._probes[name] = probe
        if degrades:
            self._degrades.add(name)

    async def run(self, *workers: Worker) -> None:
        """Run the workers until a signal, or until one of them ends; then stop the others.

        Raises:
            Exception: What a worker failed with.
        """
        for worker in workers:
            self.check(str(worker), worker.fault)
        self._running = True
        _collect_less()
        tasks = [asyncio.create_task(worker.run(), name=str(worker)) for worker in workers]
        signalled = asyncio.create_task(self._stopping.wait())
        watching = asyncio.create_task(self._watch())
        log.info("started", workers=[str(worker) for worker in workers])
        await asyncio.wait([*tasks, signalled], return_when=asyncio.FIRST_COMPLETED)
        self._stopping.set()
        for worker in workers:
            worker.shut_down()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        signalled.cancel()
        watching.cancel()
        await asyncio.wait({watching})
        log.info("stopped")
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _watch(self) -> None:
        """Write into the log what goes away and comes back, whoever meets it first."""
        outages = Outages()
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            outages.note(await self.condition())

    async def _serve_internal(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.add_routes(self._routes)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, self._settings.internal_host, self._settings.internal_port).start()
        return runner

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "up", "service": self.name, "instance": self._settings.instance})

    async def _readyz(self, _request: web.Request) -> web.Response:
        condition = await self.condition()
        said = {"status": condition.status, "faults": condition.faults, "degraded": condition.degraded}
        return web.json_response(said, status=503 if condition.faults else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def condition(self) -> Condition:
        """Ask every probe, all at once, and return what is wrong."""
        if not self._running or self._stopping.is_set():
            return Condition({self.name: "shutting down" if self._running else "starting"})
        probes = dict(self._probes)
        answers = await asyncio.gather(*map(self._ask, probes.values()))
        wrong = {name: fault for name, fault in zip(probes, answers, strict=True) if fault is not None}
        self._was_ready = self._was_ready or not wrong
        degraded = {name: fault for name, fault in wrong.items() if self._was_ready and name in self._degrades}
        return Condition({name: fault for name, fault in wrong.items() if name not in degraded}, degraded)

    async def _ask(self, probe: Probe) -> str | None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                answer = probe()
                return await answer if inspect.isawaitable(answer) else answer
        except TimeoutError:
            return f"no answer in {PROBE_TIMEOUT_S:.0f} s"


def _collect_less() -> None:
    """Leave alone what was made so far, which stays, and look for lost cycles among what is made from now on.

    Collecting took an eighth of the gateway's processor time: it went through all modules again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)
