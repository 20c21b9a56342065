"""The public server itself, on loopback: what it takes a caller for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI, Request

from deploy.supervisor.machine.ports import free_port
from services.gateway.http.edge.middleware import Edge
from services.gateway.http.server.worker import PublicServer
from shared.settings import Settings
from tests.waiting import until_true

SAID = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()

    @app.get("/caller")
    async def caller(request: Request) -> list[str]:
        assert request.client is not None
        return [request.client.host, request.url.scheme]

    app.add_middleware(Edge, settings=settings)
    server = PublicServer(settings, app)
    running = asyncio.create_task(server.run())
    await until_true(lambda: server.fault() is None)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{settings.http_port}") as client:
        yield client
    server.shut_down()
    await running


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, environment="test", http_port=free_port(), **values)  # type: ignore[arg-type]


async def test_a_neighbour_is_not_believed_who_its_caller_is() -> None:
    async with serving(settings()) as client:
        assert (await client.get("/caller", headers=SAID)).json() == ["127.0.0.1", "http"]


@pytest.mark.parametrize(
    ("trusted", "caller"), [("127.0.0.0/8, ::1", ["203.0.113.9", "https"]), ("10.0.0.0/8", ["127.0.0.1", "http"])]
)
async def test_a_proxy_that_is_configured_is_believed(trusted: str, caller: list[str]) -> None:
    async with serving(settings(trusted_proxies=trusted)) as client:
        assert (await client.get("/caller", headers=SAID)).json() == caller
