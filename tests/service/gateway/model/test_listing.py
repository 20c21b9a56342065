"""What the services of models say when they are asked which models they have."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.model.configured.catalog import UpstreamSpec, read_catalog
from services.gateway.model.configured.listing import list_models
from shared.errors import ModelAway
from shared.settings import Settings

KEY = "sk-a-key-that-nobody-may-read"


@asynccontextmanager
async def service(answer: Callable[[], web.Response]) -> AsyncIterator[UpstreamSpec]:
    """Serve this as the list, to those who have the key."""

    async def handle(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        return answer()

    async with listing(handle) as spec:
        yield spec


@asynccontextmanager
async def listing(handle: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[UpstreamSpec]:
    app = web.Application()
    app.router.add_get("/v1/models", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        yield spec_for(f"http://{host}:{port}/v1")
    finally:
        await runner.cleanup()


def spec_for(url: str) -> UpstreamSpec:
    [spec] = read_catalog(Settings(_env_file=None, openai_base_url=url, openai_api_key=KEY)).upstreams
    return spec


async def test_sandbox_lists_its_models() -> None:
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        assert await list_models(spec_for(f"{sandbox.model}/v1")) == ["sandbox-small", "sandbox-large"]


async def test_a_key_may_have_a_header_of_its_own() -> None:
    heads = []

    async def handle(request: web.Request) -> web.Response:
        heads.append(request.headers)
        return web.json_response({"data": [{"id": "a"}]})

    async with listing(handle) as spec:
        assert await list_models(replace(spec, key_header="api-key")) == ["a"]
    assert heads[0]["api-key"] == KEY
    assert "Authorization" not in heads[0]


async def test_what_has_no_name_is_left_out() -> None:
    items = [{"id": "a"}, {"id": 1}, {"name": "b"}, "c", None, {"id": "\ud800"}, {"id": "d"}]
    async with service(lambda: web.json_response({"data": items})) as spec:
        assert await list_models(spec) == ["a", "\ud800", "d"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=404),
        lambda: web.Response(status=405),
        lambda: web.Response(status=501),
        lambda: web.Response(status=204),
        lambda: web.Response(text="<html>", content_type="text/html"),
        lambda: web.Response(text="{", content_type="application/json"),
        lambda: web.Response(body=b'{"data": ["\xff"]}', content_type="application/json"),
        lambda: web.json_response([]),
        lambda: web.json_response("models"),
        lambda: web.json_response({"models": []}),
        lambda: web.json_response({"data": {"id": "a"}}),
    ],
)
async def test_service_may_have_no_list(answer: Callable[[], web.Response]) -> None:
    async with service(answer) as spec:
        assert await list_models(spec) is None


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_refusal_is_told_by_its_status_and_without_the_key(status: int) -> None:
    def refuse() -> web.Response:
        return web.json_response({"error": {"message": f"Incorrect API key: {KEY}"}}, status=status)

    async with service(refuse) as spec:
        with pytest.raises(ModelAway, match=str(status)) as refused:
            await list_models(spec)
    assert KEY not in refused.value.detail


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://127.0.0.1:9/v1", "ConnectError"), ("no url", "UnsupportedProtocol"), ("http://[::1", "InvalidURL")],
)
async def test_service_that_cannot_be_reached_is_away(url: str, why: str) -> None:
    with pytest.raises(ModelAway, match=why):
        await list_models(spec_for(url))
