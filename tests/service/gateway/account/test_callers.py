"""Who may call, and what becomes of somebody without credentials."""

import time

import pytest

from services.gateway.account.visitors.cookies import TOKEN_HEADER, VISITOR_COOKIE, new_visitor
from tests.dates import FLIGHT_DAY
from tests.pure.gateway.samples import facts, stored
from tests.service.gateway.fakes import BASE_URL, World
from tests.tokens import token_for


@pytest.fixture
def world() -> World:
    return World()


def without_visitors(world: World) -> World:
    world.settings = world.settings.model_copy(update={"allow_visitors": False})
    return world


async def test_a_session_call_without_credentials_makes_a_visitor_who_comes_back(world: World) -> None:
    async with world.client() as client:
        first = await client.get("/api/chat/sessions")
        assert first.status_code == 200
        cookie = first.headers["set-cookie"]
        me = (await client.get("/api/me")).json()
        again = await client.get("/api/chat/sessions")
    assert "Max-Age=2592000" in cookie
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert me["user_id"] == me["visitor_id"]
    assert "set-cookie" not in again.headers


async def test_production_sends_the_cookie_by_https_only(world: World) -> None:
    world.settings = world.settings.model_copy(update={"environment": "production", "allow_visitors": True})
    async with world.client() as client:
        assert "Secure" in (await client.get("/api/chat/sessions")).headers["set-cookie"].split("; ")


async def test_where_visitors_are_not_allowed_credentials_are_asked_for(world: World) -> None:
    async with without_visitors(world).client() as client:
        answer = await client.get("/api/chat/sessions")
        visitor = await client.post("/api/auth/visitor")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "set-cookie" not in answer.headers
    assert visitor.status_code == 403


async def test_bad_credentials_never_make_a_visitor(world: World) -> None:
    async with world.client() as client:
        for path in ("/api/chat/sessions", "/api/me", "/api/trips"):
            answer = await client.get(path, headers={"Authorization": "Bearer nonsense"})
            assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
            assert "set-cookie" not in answer.headers


async def test_only_session_calls_make_visitors(world: World) -> None:
    async with world.client() as client:
        for path in ("/api/me", "/api/trips", "/api/models", "/api/admin/dead"):
            answer = await client.get(path)
            assert answer.status_code == 401, path
            assert "set-cookie" not in answer.headers


async def test_becoming_a_visitor_twice_is_becoming_one(world: World) -> None:
    async with world.client() as client:
        first, second = await client.post("/api/auth/visitor"), await client.post("/api/auth/visitor")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.json()["token"] == first.headers["set-cookie"].partition(";")[0].removeprefix("visitor=")


async def test_who_keeps_the_visitors_token_is_that_visitor_without_any_cookie(world: World) -> None:
    async with world.client() as client:
        made = (await client.post("/api/auth/visitor")).json()
        client.cookies.clear()
        bearer = {"Authorization": f"Bearer {made['token']}", "Sec-Fetch-Site": "cross-site"}
        me = await client.get("/api/me", headers=bearer)
        again = await client.post("/api/auth/visitor", headers=bearer)
    assert me.json() == {key: value for key, value in made.items() if key != "token"}
    assert (again.status_code, again.json()) == (200, made)
    assert not {"set-cookie", TOKEN_HEADER} & set(again.headers)


async def test_a_token_is_renewed_when_it_is_used_where_it_was_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.client() as client:
        made = (await client.post("/api/auth/visitor")).json()
        later = time.time() + 16 * 24 * 3600
        monkeypatch.setattr(time, "time", lambda: later)
        bearer = {"Authorization": f"Bearer {made['token']}"}
        renewed = await client.get("/api/chat/sessions", headers=bearer)
        asked = (await client.post("/api/auth/visitor", headers=bearer)).json()
        client.cookies.clear()
        cookie = await client.get("/api/chat/sessions", headers={"Cookie": f"visitor={made['token']}"})
        user = {"Authorization": f"Bearer {token_for(world.settings, 'u1')}", "Cookie": f"visitor={made['token']}"}
        beside = await client.get("/api/chat/sessions", headers=user)
    assert "set-cookie" not in renewed.headers
    assert asked["visitor_id"] == made["visitor_id"]
    assert asked["token"] == renewed.headers[TOKEN_HEADER] != made["token"]
    for answer in (cookie, beside):
        assert TOKEN_HEADER not in answer.headers
        assert answer.headers["set-cookie"].startswith(f"visitor={asked['token']}; ")


async def test_me_shows_what_a_token_says(world: World) -> None:
    async with world.client("u1", role="admin") as client:
        assert (await client.get("/api/me")).json() == {
            "user_id": "u1",
            "visitor_id": None,
            "role": "admin",
            "projects": None,
        }


async def test_a_user_still_sees_what_they_did_as_a_visitor(world: World) -> None:
    async with world.client() as client:
        visitor_id = (await client.post("/api/auth/visitor")).json()["visitor_id"]
        world.sessions.append(facts("theirs", stored=stored()))
        object.__setattr__(world.sessions[0], "user_id", visitor_id)
        headers = {"Authorization": f"Bearer {token_for(world.settings, 'u1')}"}
        me = (await client.get("/api/me", headers=headers)).json()
        listed = (await client.get("/api/chat/sessions", headers=headers)).json()
    assert (me["user_id"], me["visitor_id"]) == ("u1", visitor_id)
    assert [session["id"] for session in listed["sessions"]] == ["theirs"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://sub.gateway.test"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": BASE_URL}, 201),
        ({"Origin": BASE_URL}, 201),
        ({}, 201),
    ],
)
async def test_another_sites_page_can_not_write_with_a_visitors_cookie(
    world: World, headers: dict[str, str], status: int
) -> None:
    body = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}], "pax": 2}
    world.settings = world.settings.model_copy(update={"visitor_trips": True})
    async with world.client() as client:
        visitor_id = (await client.post("/api/auth/visitor")).json()["visitor_id"]
        world.sessions.append(facts("s1", stored=stored()))
        object.__setattr__(world.sessions[0], "user_id", visitor_id)
        answer = await client.post("/api/chat/sessions/s1/trips", json=body, headers=headers)
    assert answer.status_code == status
    assert len(world.published) == (1 if status == 201 else 0)


async def test_another_sites_form_can_not_replace_a_visitor(world: World) -> None:
    """A browser leaves a Lax cookie out of such a request, but would keep the one in its answer."""
    async with world.client() as client:
        answer = await client.post("/api/auth/visitor", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_token_may_write_from_any_page(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.post("/api/models", json={"name": "m"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 201


@pytest.mark.parametrize("role", ["user", "service"])
async def test_only_administrators_may_administrate(world: World, role: str) -> None:
    async with world.client("u1", role=role) as client:
        for method, path in (("GET", "/api/admin/dead"), ("POST", "/api/models")):
            answer = await client.request(method, path, json={"name": "m"} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert world.published == []


async def test_a_visitors_cookie_that_is_no_good_makes_another_visitor(world: World) -> None:
    async with world.client() as client:
        client.cookies.set(VISITOR_COOKIE, "forged")
        answer = await client.get("/api/chat/sessions")
    assert answer.status_code == 200
    assert "set-cookie" in answer.headers


async def test_a_load_balancer_may_ask_with_head(world: World) -> None:
    async with world.client() as client:
        answers = [await client.head(path) for path in ("/healthz", "/readyz")]
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_who_calls_too_often_is_told_when_to_come_again_and_nobody_else_is(world: World) -> None:
    world.settings = world.settings.model_copy(update={"calls_per_minute": 2})
    async with world.client("ann") as ann, world.client("bob") as bob, world.client("root", "admin") as root:
        assert [(await ann.get("/api/chat/sessions")).status_code for _ in range(2)] == [200, 200]
        refused = await ann.get("/api/me")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        assert (await bob.get("/api/me")).status_code == 200
        assert [(await root.get("/api/me")).status_code for _ in range(4)] == [200] * 4
        answer = await ann.post("/api/chat", json={"message": "hi", "stream": False})
        assert answer.status_code == 200, "a chat has a limit of its own"


async def test_many_visitors_of_one_address_are_one_caller(world: World) -> None:
    world.settings = world.settings.model_copy(update={"calls_per_minute": 2})
    statuses = []
    for _ in range(3):
        async with world.client() as somebody:
            statuses.append((await somebody.get("/api/chat/sessions")).status_code)
    assert statuses == [200, 200, 429]


async def test_visitors_who_keep_their_token_are_one_caller_of_their_address_too(world: World) -> None:
    world.settings = world.settings.model_copy(update={"calls_per_minute": 2})
    async with world.client() as somebody:
        bearers = [{"Authorization": f"Bearer {new_visitor(world.settings).value}"} for _ in range(3)]
        statuses = [(await somebody.get("/api/chat/sessions", headers=bearer)).status_code for bearer in bearers]
    assert statuses == [200, 200, 429]
