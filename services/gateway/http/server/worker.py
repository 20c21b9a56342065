"""The public HTTP server as a worker of the process."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from services.gateway.http.server.connection import Connection
from services.gateway.http.server.connections import Connections
from shared.settings import Settings

GRACE_S = 25  # longer than turns are given to end, so that their streams close by themselves
OTHER_FILES = 200  # open ones that have nothing to do with callers: database, broker, listeners, libraries

log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `shared.process.service`, which stops all workers of this process together."""
        yield


class PublicServer:
    """Serves the public port until it is stopped; then it takes no new connection and lets the open ones finish."""

    def __init__(self, settings: Settings, app: ASGIApp) -> None:
        self.connections = Connections(settings, _most_connections(settings.http_connections))
        config = uvicorn.Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            http=cast(type[asyncio.Protocol], partial(Connection, settings, self.connections)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn would believe everybody on loopback; `callers/peer.py` knows whom to
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)

    async def run(self) -> None:
        sweeping = asyncio.create_task(self.connections.sweep(), name="sweep of connections")
        try:
            await self._server.serve()
        finally:
            sweeping.cancel()

    def shut_down(self) -> None:
        self._server.should_exit = True

    def fault(self) -> str | None:
        return None if self._server.started else "not listening yet"

    def __str__(self) -> str:
        return "public HTTP"


def _most_connections(wanted: int) -> int:
    """Raise this process's limit of open files to what so many need, and return for how many it is enough.

    A caller may take two: its own connection, and its turn's one to the model.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    possible = max(1, (soft - OTHER_FILES) // 2)
    log.warning("fewer connections than set: too few open files", open_files=soft, wanted=wanted, possible=possible)
    return possible
