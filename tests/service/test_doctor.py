"""What the doctor finds of the two outside systems."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import generate_latest

from deploy.doctor.finding import Finding
from deploy.doctor.outside import check_outside
from deploy.doctor.processes import check_circuits
from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from services.gateway.model.asking.circuit import OPENS_AFTER
from services.gateway.model.asking.upstreams import open_upstreams
from shared.errors import ModelAway
from shared.ids import new_id
from shared.settings import Settings
from tests.service.gateway.model.stand_in import Reply, at_once, standing_in
from tests.stand_ins.identity_provider import KEYS_PATH, running_provider

MODEL = "model's service"


async def found(model: str, avinode: str = "http://127.0.0.1:9") -> dict[str, Finding]:
    settings = Settings(_env_file=None, openai_base_url=model, avinode_base_url=avinode)
    return {finding.subject: finding async for finding in check_outside(settings)}


@asynccontextmanager
async def answering(status: int, body: str = "") -> AsyncIterator[str]:
    """Answer every request with this status."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_service_says_how_many_models_it_has() -> None:
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox:
        findings = await found(f"{sandbox.model}/v1", avinode=f"{sandbox.avinode}/api")
    assert findings[MODEL] == Finding(MODEL, f"{sandbox.model}/v1 lists 2 models")
    assert findings["Avinode"].trouble is None


async def test_service_without_a_list_is_well() -> None:
    async with answering(404) as url:
        assert (await found(url))[MODEL] == Finding(MODEL, f"{url} answers, without a list of models")


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_service_that_refuses_is_named_with_its_settings(status: int) -> None:
    async with answering(status) as url:
        trouble = (await found(url))[MODEL].trouble
    assert trouble is not None
    assert str(status) in trouble
    assert "OPENAI_BASE_URL, OPENAI_API_KEY" in trouble


async def test_what_cannot_be_reached_is_away() -> None:
    findings = await found("http://127.0.0.1:9/v1", avinode="http://127.0.0.1:9/api")
    assert "OPENAI_BASE_URL" in (findings[MODEL].trouble or "")
    assert "AVINODE_BASE_URL" in (findings["Avinode"].trouble or "")


async def test_each_upstream_of_the_file_is_asked_and_the_file_is_named_where_it_is_none(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    async with answering(404) as url:
        file.write_text(f'[[upstreams]]\nname = "a"\nbase_url = "{url}"\nmodels = ["sandbox-small"]\n')
        settings = Settings(_env_file=None, models_file=str(file), avinode_base_url=url)
        findings = [finding async for finding in check_outside(settings)]
        file.write_text("upstreams = 1")
        troubles = [finding.trouble async for finding in check_outside(settings)]
    assert findings[0] == Finding(f"{MODEL} a", f"{url} answers, without a list of models")
    assert troubles[0] == f"MODELS_FILE {file}: upstreams: Input should be a valid list"


async def test_a_file_of_helpers_is_counted_or_named_where_it_is_none(tmp_path: Path) -> None:
    file = tmp_path / "assistants"
    file.write_text('[helpers.one]\nname = "One"\ninstructions = "Be one."\n')
    async with answering(404) as url:
        settings = Settings(_env_file=None, helpers_file=str(file), openai_base_url=url, avinode_base_url=url)
        findings = [finding async for finding in check_outside(settings)]
        file.write_text("[helpers.one]")
        troubles = [finding.trouble async for finding in check_outside(settings)]
    assert Finding("helpers", f"1 in {file}") in findings
    wrong = "helpers.one.name: is missing; helpers.one.instructions: is missing"
    assert f"HELPERS_FILE {file}: {wrong}" in troubles


async def test_an_upstream_that_gateways_leave_alone_is_named() -> None:
    async with standing_in(Reply((b"{}",), 503)) as service, open_upstreams(service.settings(), at_once) as upstreams:
        for _ in range(OPENS_AFTER):
            with suppress(ModelAway):
                [_ async for _ in upstreams.call("m", [], new_id()).chunks()]
        async with answering(200, generate_latest().decode()) as url:
            findings = [finding async for finding in check_circuits({"TRIPTHREAD_INTERNAL_URL_2": url})]
        [finding] = findings
    assert (finding.subject, finding.detail) == (f"upstreams of {url}", "1 left alone")
    assert "environment" in (finding.trouble or "")


async def test_url_that_is_none_is_found_and_not_stumbled_over() -> None:
    findings = await found("http://[::1", avinode="http://[::1")
    assert "InvalidURL" in (findings[MODEL].trouble or "")
    assert "AVINODE_BASE_URL" in (findings["Avinode"].trouble or "")


async def test_an_identity_provider_is_asked_for_its_keys() -> None:
    async with running_provider() as provider:
        settings = Settings(
            _env_file=None,
            openai_base_url="http://127.0.0.1:9",
            avinode_base_url="http://127.0.0.1:9",
            jwt_jwks_url=provider.url + KEYS_PATH,
        )
        first = {finding.subject: finding async for finding in check_outside(settings)}["identity provider"]
        provider.body = b"<title>Sign in</title>"
        refused = {finding.subject: finding async for finding in check_outside(settings)}["identity provider"]
    assert first == Finding("identity provider", f"{provider.url}{KEYS_PATH} shows 1 keys")
    assert "JWT_JWKS_URL" in str(refused.trouble)
