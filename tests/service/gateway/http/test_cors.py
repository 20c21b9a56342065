"""Pages of other origins call only where they are named, and by no cookie."""

from typing import Any

import httpx2
import pytest

from services.gateway.account.visitors.cookies import new_visitor
from services.gateway.http.answers.openai_limits import openai_limits
from shared.settings import Settings
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PAGE, OTHER = "https://chat.example", "https://evil.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def world(origins: str) -> World:
    return World(
        settings=Settings(_env_file=None, environment="test", allowed_hosts="gateway.test", cors_origins=origins)
    )


def about_cors(answer: httpx2.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("origins", ["", OTHER, f"{PAGE}.evil.example", "https://chat.example:8443"])
async def test_a_page_that_is_not_named_is_allowed_nothing(origins: str) -> None:
    mine = world(origins)
    async with mine.client() as client:
        asked = await client.options("/api/chat", headers={"Origin": PAGE, **ASKS})
        assert (asked.status_code, about_cors(asked)) == (405, {})
        token = {"Authorization": f"Bearer {token_for(mine.settings, 'ann')}"}
        assert about_cors(await client.get("/api/me", headers={"Origin": PAGE, **token})) == {}


@pytest.mark.parametrize("origins", [PAGE, f"{OTHER}, {PAGE}"])
async def test_a_page_that_is_named_calls_by_a_token_and_reads_the_answer(origins: str) -> None:
    mine = world(origins)
    async with mine.client() as client:
        asked = await client.options("/api/chat", headers={"Origin": PAGE, **ASKS})
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        token = {"Authorization": f"Bearer {token_for(mine.settings, 'ann')}"}
        for path, status in (("/api/me", 200), ("/api/chat/sessions/unknown", 404), ("/nowhere", 404)):
            answer = await client.get(path, headers={"Origin": PAGE, **token})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
            assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in {**asked.headers, **answer.headers}


async def test_a_page_that_is_named_sends_and_reads_each_header_that_is_for_callers() -> None:
    async with world(PAGE).client() as client:
        asked = await client.options("/api/chat", headers={"Origin": PAGE, **ASKS})
        sent = {*asked.headers["access-control-allow-headers"].lower().split(", ")}
        assert {"x-request-id", "traceparent", "tracestate"} < sent
        shown = {*asked.headers["access-control-expose-headers"].lower().split(", ")}
        assert {"content-disposition", *openai_limits(1, 1, 1), *openai_limits(1, 1, 1, "tokens")} < shown


async def test_what_openais_sdks_send_of_themselves_a_page_that_is_named_may_send() -> None:
    """Else none of them calls from a browser, whatever it is configured for."""
    wanted = "authorization,content-type,X-Stainless-Lang, x-stainless-retry-count,x-forwarded-for,openai-beta,cookie"
    asks = {**ASKS, "Access-Control-Request-Headers": wanted}
    async with world(PAGE).client() as client:
        asked = await client.options("/v1/chat/completions", headers={"Origin": PAGE, **asks})
        allowed = asked.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "content-type", "x-stainless-lang", "x-stainless-retry-count", "openai-beta"} < {
            *allowed
        }
        assert not {"x-forwarded-for", "cookie"} & {*allowed}
        stranger = await client.options("/v1/chat/completions", headers={"Origin": OTHER, **asks})
        assert about_cors(stranger) == {}


@pytest.mark.parametrize("origin", ["null", OTHER, PAGE.upper(), f"{PAGE}, {OTHER}", f"{PAGE}/"])
async def test_no_other_spelling_is_that_page(origin: str) -> None:
    async with world(PAGE).client() as client:
        assert about_cors(await client.options("/api/chat", headers={"Origin": origin, **ASKS})) == {}
        answer = await client.get("/healthz", headers={"Origin": origin})
        assert (about_cors(answer), answer.headers["vary"]) == ({}, "Origin")


async def test_a_page_that_is_named_writes_by_no_cookie_all_the_same() -> None:
    mine = world(PAGE)
    async with mine.client() as client:
        headers = {"Origin": PAGE, "Cookie": f"visitor={new_visitor(mine.settings).value}"}
        assert (await client.post("/api/chat/sessions", json={}, headers=headers)).status_code == 403


@pytest.mark.parametrize("origins", ["*", "chat.example", "https://", "https://a.example/path", "null"])
def test_what_is_no_origin_is_not_taken(origins: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        Settings(_env_file=None, cors_origins=origins)
