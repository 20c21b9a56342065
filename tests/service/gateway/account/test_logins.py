"""Browsers that a one-time link signs in."""

import html
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from services.gateway.account import standing
from services.gateway.account.logins.links import PATH, login_token
from services.gateway.account.logins.store import LASTS_S
from services.gateway.account.rights import Role
from shared.ids import secret_hash
from tests.service.gateway.fakes import BASE_URL, World
from tests.tokens import token_for

OTHER_PAGE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": BASE_URL}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask each time whether credentials still stand."""
    monkeypatch.setattr(standing, "ASKED_EVERY_S", -1.0)


def link(world: World, user: str = "ann", role: Role = "user", lasts_s: float = 600) -> str:
    return login_token(world.settings, user, role, lasts_s)


async def pressed(client: httpx2.AsyncClient, token: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await client.post(PATH, data={"token": token}, headers=headers or OWN_PAGE)


async def me(client: httpx2.AsyncClient) -> Any:
    return (await client.get("/api/me")).json()


async def test_a_link_shows_a_button_and_the_button_signs_the_browser_in(world: World) -> None:
    async with world.client() as client:
        page = await client.get(PATH, params={"token": link(world, "ann & <co>", "admin")})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "set-cookie" not in page.headers
        assert "ann &amp; &lt;co&gt;" in page.text
        (token,) = re.findall(r'name="token" value="([^"]*)"', page.text)
        done = await pressed(client, html.unescape(token))
        assert done.status_code == 200
        assert await me(client) == {"user_id": "ann & <co>", "visitor_id": None, "role": "admin", "projects": None}
    cookie = done.headers["set-cookie"]
    assert re.match(r"login=[A-Za-z0-9_-]{43}; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax$", cookie)


async def test_production_keeps_it_by_https_and_for_this_host_only(world: World) -> None:
    world.settings = world.settings.model_copy(update={"environment": "production"})
    async with world.client() as client:
        cookie = (await pressed(client, link(world))).headers["set-cookie"]
    assert cookie.startswith("__Host-login=")
    assert "Secure" in cookie.split("; ")


async def test_the_page_runs_nothing_sends_its_form_here_only_and_tells_no_other_site_its_address(world: World) -> None:
    async with world.client() as client:
        page = await client.get(PATH, params={"token": link(world)})
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert "script" not in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"


async def test_to_open_a_link_uses_nothing_up_and_to_press_the_button_does(world: World) -> None:
    token = link(world)
    async with world.client() as scanner, world.client() as person, world.client() as thief:
        for _ in range(3):
            assert (await scanner.get(PATH, params={"token": token})).status_code == 200
        assert (await scanner.head(PATH, params={"token": token})).status_code == 405
        assert (await pressed(person, token)).status_code == 200
        for spelled in (token, token + "="):  # a signature may be padded
            late = await pressed(thief, spelled)
            assert (late.status_code, late.json()["code"]) == (410, "gone")
            assert "set-cookie" not in late.headers
        assert (await thief.get("/api/me")).status_code == 401


def bad(world: World) -> Iterator[str]:
    good = link(world)
    yield from ("", "nonsense", good[:-1], good + "a", "x" * 2000, token_for(world.settings, "ann"))
    yield link(world, lasts_s=-1)
    yield link(world, user="visitor_1")
    yield link(World(settings=world.settings.model_copy(update={"cookie_secret": SecretStr("o" * 40)})))


async def test_a_link_that_we_did_not_make_or_whose_time_is_over_signs_nobody_in(world: World) -> None:
    async with world.client() as client:
        for token in bad(world):
            shown, used = await client.get(PATH, params={"token": token}), await pressed(client, token)
            assert (shown.status_code, used.status_code) == (410, 410 if token else 422), token
        assert "set-cookie" not in used.headers
    assert world.browsers == {}


async def test_a_link_is_no_token_and_a_visitors_token_is_no_link(world: World) -> None:
    async with world.client() as client:
        visitor = (await client.post("/api/auth/visitor")).json()["token"]
        assert (await pressed(client, visitor)).status_code == 410
        client.cookies.clear()
        assert (await client.get("/api/me", headers={"Authorization": f"Bearer {link(world)}"})).status_code == 401
        client.cookies.set("visitor", link(world))
        assert (await client.get("/api/me")).status_code == 401


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b'{"token": "x"}', "application/json", 415),
        (b"token=x", "text/plain", 415),
        (b"token=x&token=y", "application/x-www-form-urlencoded", 422),
        (b"token=%ff%fe", "application/x-www-form-urlencoded", 410),
        (b"\xff\xfe=", "application/x-www-form-urlencoded", 422),
        (b"&".join([b"a=b"] * 1000), "application/x-www-form-urlencoded", 422),
        (b"token=" + b"x" * 3000, "application/x-www-form-urlencoded", 422),
        (b"", "application/x-www-form-urlencoded", 422),
    ],
)
async def test_another_body_signs_nobody_in(world: World, content: bytes, content_type: str, status: int) -> None:
    async with world.client() as client:
        answer = await client.post(PATH, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status


async def test_no_other_sites_page_signs_anybody_in_or_out_or_writes_by_the_cookie(world: World) -> None:
    async with world.client() as client:
        assert (await pressed(client, link(world), OTHER_PAGE)).status_code == 403
        assert world.used_links == set()
        await pressed(client, link(world))
        for method, path in (("POST", "/api/auth/logout"), ("POST", "/api/keys"), ("DELETE", "/api/me/data")):
            answer = await client.request(method, path, json={"name": "k"}, headers=OTHER_PAGE)
            assert answer.status_code == 403, path
        assert (await client.post("/api/keys", json={"name": "k"}, headers=OWN_PAGE)).status_code == 201
        assert (await client.get("/api/me")).status_code == 200


async def test_a_body_by_the_cookie_alone_must_say_that_it_is_json(world: World) -> None:
    async with world.client() as client:
        await pressed(client, link(world))
        plain = {"Content-Type": "text/plain"}
        assert (await client.post("/api/keys", content=b'{"name": "k"}', headers=plain)).status_code == 415


@pytest.mark.usefixtures("asked_anew")
async def test_who_signs_out_is_nobody_any_more(world: World) -> None:
    async with world.client() as client:
        await pressed(client, link(world))
        cookie = client.cookies["login"]
        out = await client.post("/api/auth/logout", headers=OWN_PAGE)
        assert (out.status_code, out.content) == (204, b"")
        assert out.headers["set-cookie"].startswith("login=; Path=/; Max-Age=0;")
        assert (await client.get("/api/me")).status_code == 401
        stolen = await client.get("/api/me", headers={"Cookie": f"login={cookie}"})
        assert stolen.status_code == 401
        assert stolen.headers["set-cookie"].startswith("login=; ")
        assert (await client.post("/api/auth/logout")).status_code == 204


@pytest.mark.usefixtures("asked_anew")
async def test_who_signs_in_anew_leaves_nothing_open_by_the_cookie_before(world: World) -> None:
    async with world.client() as client:
        first = (await pressed(client, link(world))).cookies["login"]
        second = await pressed(client, link(world, "bob"))
        assert (await me(client))["user_id"] == "bob"
        client.cookies.clear()
        assert (await client.get("/api/me", headers={"Cookie": f"login={first}"})).status_code == 401
        now = {"Cookie": f"login={second.cookies['login']}"}
        assert (await client.get("/api/me", headers=now)).json()["user_id"] == "bob"


async def test_an_administrator_signs_every_browser_of_a_user_out(world: World) -> None:
    async with world.client() as one, world.client() as two, world.client() as eve:
        for client, user in ((one, "ann"), (two, "ann"), (eve, "eve")):
            await pressed(client, link(world, user))
        assert (await eve.post("/api/admin/users/ann/logout", headers=OWN_PAGE)).status_code == 403
        async with world.client("root", role="admin") as admin:
            assert (await admin.post("/api/admin/users/ann/logout")).json() == {"ended": 2}
        assert [(await each.get("/api/me")).status_code for each in (one, two, eve)] == [401, 401, 200]


async def test_a_browser_that_is_used_stays_signed_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world.client() as client:
        await pressed(client, link(world))
        headers = {"Cookie": f"login={client.cookies['login']}"}
        client.cookies.clear()
        now = time.time()
        for hours, renewed in ((5, False), (7, True), (12.9, False), (14, True)):
            monkeypatch.setattr(time, "time", lambda hours=hours: now + hours * 3600)
            answer = await client.get("/api/me", headers=headers)
            assert (answer.status_code, "set-cookie" in answer.headers) == (200, renewed), hours
        monkeypatch.setattr(time, "time", lambda: now + 14 * 3600 + LASTS_S + 1)
        monkeypatch.setattr(standing, "ASKED_EVERY_S", -1.0)
        assert (await client.get("/api/me", headers=headers)).status_code == 401


async def test_a_token_counts_before_the_cookie_and_the_cookie_before_a_visitors(world: World) -> None:
    async with world.client() as client:
        visitor = (await client.post("/api/auth/visitor")).json()["visitor_id"]
        await pressed(client, link(world))
        assert (await me(client))["user_id"] == "ann"
        assert (await me(client))["visitor_id"] == visitor
        bearer = {"Authorization": f"Bearer {token_for(world.settings, 'bob')}"}
        assert (await client.get("/api/me", headers=bearer)).json()["user_id"] == "bob"
        wrong = await client.get("/api/me", headers={"Authorization": "Bearer nonsense"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)


async def test_of_several_cookies_the_first_that_stands_counts_and_few_are_looked_up(world: World) -> None:
    async with world.client() as client:
        await pressed(client, link(world))
        value = client.cookies["login"]
        client.cookies.clear()
        others = [f"login={'a' * 42}{n}" for n in range(9)]
        second = await client.get("/api/me", headers={"Cookie": "; ".join(["login=x", others[0], f"login={value}"])})
        assert second.status_code == 200
        last = await client.get("/api/me", headers={"Cookie": "; ".join([*others, f"login={value}"])})
        assert last.status_code == 401
    assert secret_hash(value) in world.browsers


async def test_guessing_ends(world: World) -> None:
    world.settings = world.settings.model_copy(update={"wrong_keys_per_minute": 4})
    async with world.client() as client:
        answers = [await client.get("/api/me", headers={"Cookie": f"login={'a' * 42}{n}"}) for n in range(7)]
    assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 3


async def test_an_erased_users_older_link_signs_nobody_in(world: World) -> None:
    token = link(world)
    world.erased.add("ann")
    async with world.client() as client:
        assert (await pressed(client, token)).status_code == 410
