"""The public HTTP server as a worker of the process."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from shared.settings import Settings

GRACE_S = 25  # longer than turns are given to end, so that their streams close by themselves


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `shared.service`, which stops all workers of this process together."""
        yield


class PublicServer:
    """Serves the public port until it is stopped; then it takes no new connection and lets the open ones finish."""

    def __init__(self, settings: Settings, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn would believe everybody on loopback; `http/peer.py` knows whom to believe
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)

    async def run(self) -> None:
        await self._server.serve()

    def shut_down(self) -> None:
        self._server.should_exit = True

    def fault(self) -> str | None:
        return None if self._server.started else "not listening yet"

    def __str__(self) -> str:
        return "public HTTP"
