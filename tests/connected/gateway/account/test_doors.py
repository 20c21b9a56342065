"""Whose cookies count, and by which names the gateway is called, at a gateway on real servers."""

import time
from collections.abc import AsyncIterator

import jwt
import pytest

from services.gateway.account.visitors.cookies import VISITOR_AUDIENCE, new_visitor
from tests.connected.gateway.stage import Rows, Stage, open_stage

SESSIONS = "/api/chat/sessions"


@pytest.fixture
async def production(gateway: Stage) -> AsyncIterator[Stage]:
    changes = {"environment": "production", "allow_visitors": True, "allowed_hosts": "gateway.test"}
    async with open_stage(gateway.settings.model_copy(update=changes)) as stage:
        yield stage


async def test_production_keeps_a_visitor_by_a_cookie_that_only_this_host_can_set(production: Stage) -> None:
    (kept,) = (await production.http.post("/api/auth/visitor")).headers.get_list("set-cookie")
    name, *attributes = kept.split("; ")
    assert name.startswith("__Host-visitor=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes)
    assert not any(attribute.lower().startswith("domain") for attribute in attributes)


async def test_production_knows_nobody_by_a_cookie_that_a_sister_site_can_set(production: Stage) -> None:
    value = new_visitor(production.settings).value
    assert (await production.http.get("/api/me", headers={"Cookie": f"visitor={value}"})).status_code == 401
    known = await production.http.get("/api/me", headers={"Cookie": f"visitor=x; __Host-visitor={value}"})
    assert known.status_code == 200


async def test_of_several_visitors_cookies_the_first_that_verifies_counts(gateway: Stage) -> None:
    first, other = new_visitor(gateway.settings), new_visitor(gateway.settings)
    cookies = f"visitor=forged; visitor={first.value}; visitor={other.value}"
    me = (await gateway.http.get("/api/me", headers={"Cookie": cookies})).json()
    assert me["user_id"] == first.visitor_id


async def test_a_cookie_whose_subject_is_no_visitor_counts_as_none(gateway: Stage, rows: Rows) -> None:
    await rows.session("anns")
    claims = {"sub": "ann", "aud": VISITOR_AUDIENCE, "exp": time.time() + 60}
    cookie = jwt.encode(claims, gateway.settings.cookie_secret.get_secret_value(), "HS256")
    headers = {"Cookie": f"visitor={cookie}"}
    assert (await gateway.http.get("/api/me", headers=headers)).status_code == 401
    assert (await gateway.http.get(f"{SESSIONS}/anns", headers=headers)).status_code == 404


async def test_without_a_token_a_name_that_is_not_ours_is_misdirected(gateway: Stage) -> None:
    """A page whose name was made to lead here has our origin by that name, and so the right `Origin`."""
    rebound = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
    value = new_visitor(gateway.settings).value
    for headers in (rebound, rebound | {"Cookie": f"visitor={value}"}):
        for method, path in (("GET", SESSIONS), ("POST", "/api/chat"), ("GET", "/openapi.json"), ("GET", "/nowhere")):
            answer = await gateway.http.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (421, "misdirected")
            assert "set-cookie" not in answer.headers


async def test_with_a_token_and_for_health_any_name_will_do(gateway: Stage) -> None:
    elsewhere = {"Host": "evil.example"}
    assert (await gateway.http.get(SESSIONS, headers=gateway.as_user("ann") | elsewhere)).status_code == 200
    for path in ("/healthz", "/readyz"):
        assert (await gateway.http.get(path, headers=elsewhere)).status_code == 200
    unasked = await gateway.http.post("/api/webhooks/avinode", headers=elsewhere)
    assert unasked.headers["www-authenticate"].startswith("Basic")
