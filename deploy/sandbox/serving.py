"""Both stand-ins in one process, each on a port of its own."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from deploy.sandbox.avinode.app import make_avinode_app
from deploy.sandbox.model.app import make_model_app
from deploy.sandbox.settings import SandboxSettings

_BACKLOG = 1024
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the stand-ins listen, as URLs without a path."""

    model: str
    avinode: str


@asynccontextmanager
async def serving(settings: SandboxSettings) -> AsyncIterator[Addresses]:
    """Serve both until the block is left; the ports are bound when it is entered."""
    async with AsyncExitStack() as stack:
        model_socket = stack.enter_context(_bound(settings.http_host, settings.llm_port))
        avinode_socket = stack.enter_context(_bound(settings.http_host, settings.avinode_port))
        addresses = Addresses(_local_url(model_socket), _local_url(avinode_socket))
        await stack.enter_async_context(_served(make_model_app(), model_socket))
        await stack.enter_async_context(_served(make_avinode_app(settings, addresses.avinode), avinode_socket))
        yield addresses


def _bound(host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), backlog=_BACKLOG)


def _local_url(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def _served(app: web.Application, bound: socket.socket) -> AsyncIterator[None]:
    # A client that leaves ends its handler: a stalled answer must not outlive its reader.
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=_GRACE_S, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, bound, backlog=_BACKLOG).start()
        yield
    finally:
        await runner.cleanup()
