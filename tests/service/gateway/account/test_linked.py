"""Visitors who sign in keep their chats, and are nobody by their cookie alone from then on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from services.gateway.account.authenticator import Authenticator
from services.gateway.account.caller import Caller
from services.gateway.account.logins.links import PATH, login_token
from services.gateway.http.handed import handed_over
from services.gateway.sessions.own_session import MOST_KEYS
from tests.pure.gateway.samples import facts, stored
from tests.service.gateway.fakes import World
from tests.tokens import token_for

SESSIONS = "/api/chat/sessions"


@pytest.fixture
def world() -> World:
    return World()


def bearer(world: World, user: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_for(world.settings, user, **claims)}"}


@asynccontextmanager
async def browser(world: World) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """Open a browser of somebody who has chatted as a visitor."""
    async with world.client() as client:
        visitor_id: str = (await client.post("/api/auth/visitor")).json()["visitor_id"]
        said = facts(f"of-{len(world.sessions)}", stored=stored())
        object.__setattr__(said, "user_id", visitor_id)
        world.sessions.append(said)
        yield client, visitor_id


async def listed(client: httpx2.AsyncClient, headers: dict[str, str] | None = None) -> list[str]:
    answer = await client.get(SESSIONS, headers=headers)
    assert answer.status_code == 200, answer.text
    return sorted(session["id"] for session in answer.json()["sessions"])


async def test_what_was_said_as_a_visitor_is_the_users_on_every_device(world: World) -> None:
    async with browser(world) as (first, one), browser(world) as (second, two), world.client() as phone:
        assert await listed(phone, bearer(world, "ann")) == []
        assert await listed(first, bearer(world, "ann")) == ["of-0"]
        assert await listed(second, bearer(world, "ann")) == ["of-0", "of-1"]
        assert await listed(phone, bearer(world, "ann")) == ["of-0", "of-1"]
        assert await listed(phone, bearer(world, "bob")) == []
    assert world.linked == {one: "ann", two: "ann"}


async def test_a_browser_that_a_link_signs_in_keeps_its_chats_too(world: World) -> None:
    async with browser(world) as (client, visitor_id), world.client() as phone:
        await client.post(PATH, data={"token": login_token(world.settings, "ann", "user", 60)})
        me = (await client.get("/api/me")).json()
        assert (me["user_id"], me["visitor_id"]) == ("ann", visitor_id)
        assert await listed(client) == await listed(phone, bearer(world, "ann")) == ["of-0"]


async def test_a_client_without_cookies_says_beside_its_users_token_which_visitor_it_was(world: World) -> None:
    async with browser(world) as (client, visitor_id):
        token = (await client.post("/api/auth/visitor")).json()["token"]
        client.cookies.clear()
        beside = {"X-Visitor-Token": token}
        assert (await client.get("/api/me", headers=beside)).status_code == 401  # alone it says nothing
        assert await listed(client, bearer(world, "ann") | {"X-Visitor-Token": "forged"}) == []
        assert await listed(client, bearer(world, "ann") | beside) == ["of-0"]
        assert await listed(client, bearer(world, "ann")) == ["of-0"]
        assert await listed(client, bearer(world, "bob") | beside) == []
    assert world.linked == {visitor_id: "ann"}


async def test_the_cookie_alone_opens_nothing_any_more(world: World) -> None:
    async with browser(world) as (client, visitor_id):
        token = (await client.post("/api/auth/visitor")).json()["token"]
        assert await listed(client) == ["of-0"]
        await listed(client, bearer(world, "ann"))
        kept = client.cookies["visitor"]
        assert (await client.get("/api/me")).status_code == 401
        refused = await client.get("/api/me", headers={"Authorization": f"Bearer {token}"})
        assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")
        assert await listed(client) == []  # of another visitor, whom this call has made
        assert client.cookies["visitor"] != kept
        made = await client.post("/api/auth/visitor", headers={"Cookie": f"visitor={kept}"})
        assert made.status_code == 201
        assert made.json()["visitor_id"] != visitor_id


async def test_who_signs_in_at_a_browser_of_somebody_else_sees_nothing_of_theirs(world: World) -> None:
    async with browser(world) as (client, visitor_id):
        assert await listed(client, bearer(world, "ann")) == ["of-0"]
        assert await listed(client, bearer(world, "bob")) == []
        me = (await client.get("/api/me", headers=bearer(world, "bob"))).json()
        assert (me["user_id"], me["visitor_id"]) == ("bob", None)
        assert await listed(client, bearer(world, "ann")) == ["of-0"]
    assert world.linked == {visitor_id: "ann"}


async def test_a_program_and_a_limited_token_read_what_their_user_may_and_link_nobody(world: World) -> None:
    async with browser(world) as (client, visitor_id), world.client("ann") as ann:
        key = (await ann.post("/api/keys", json={"name": "k"})).json()["key"]["token"]
        by_key = {"Authorization": f"Bearer {key}"}
        assert await listed(client, by_key) == ["of-0"]
        await listed(client, bearer(world, "ann", projects=["p1"]))
        await listed(client, bearer(world, "backend", role="service"))
        assert world.linked == {}
        assert await listed(client) == ["of-0"]
        assert await listed(ann) == []
        world.linked[visitor_id] = "bob"


async def test_a_key_reads_the_linked_chats_of_its_user(world: World) -> None:
    async with browser(world) as (client, _), world.client() as program, world.client("ann") as ann:
        await listed(client, bearer(world, "ann"))
        key = (await ann.post("/api/keys", json={"name": "k"})).json()["key"]["token"]
        assert await listed(program, {"Authorization": f"Bearer {key}"}) == ["of-0"]


async def test_a_write_goes_to_the_rows_own_owner(world: World) -> None:
    async with browser(world) as (client, visitor_id), world.client("ann") as phone:
        await listed(client, bearer(world, "ann"))
        changed = await phone.patch(f"{SESSIONS}/of-0", json={"title": "Teterboro"})
        assert changed.status_code == 200
    assert [event.user_id for event in world.published] == [visitor_id]  # type: ignore[attr-defined]


async def test_an_erasure_takes_everybody_whom_the_user_was(world: World) -> None:
    async with browser(world) as (client, visitor_id), world.client("ann") as phone:
        await listed(client, bearer(world, "ann"))
        assert (await phone.delete("/api/me/data")).status_code == 202
    assert world.erased == {"ann", visitor_id}


async def test_a_stream_ends_when_its_caller_would_be_let_in_as_another(world: World) -> None:
    async with browser(world) as (client, visitor_id):
        authenticator = handed_over(world.api(), Authenticator)
        visitor = Caller(visitor_id, visitor_id, "user", None, (visitor_id,))
        ann = Caller("ann", None, "user", None, ("ann",))
        assert (await authenticator.holds(visitor), await authenticator.holds(ann)) == (True, True)
        await listed(client, bearer(world, "ann"))
        assert (await authenticator.holds(visitor), await authenticator.holds(ann)) == (False, False)
        both = Caller("ann", visitor_id, "user", None, ("ann", visitor_id))
        assert await authenticator.holds(both)


async def test_a_stream_ends_whose_visitor_has_become_somebody_elses(world: World) -> None:
    async with browser(world) as (client, visitor_id):
        authenticator = handed_over(world.api(), Authenticator)
        beside_a_key = Caller("ann", visitor_id, "user", None, ("ann", visitor_id))
        assert await authenticator.holds(beside_a_key)
        await listed(client, bearer(world, "bob"))
        assert not await authenticator.holds(beside_a_key)


async def test_a_stream_of_who_is_who_they_were_outlasts_the_database(world: World) -> None:
    async with browser(world) as (client, visitor_id):
        authenticator = handed_over(world.api(), Authenticator)
        await listed(client)
        world.links_away = True
        assert await authenticator.holds(Caller(visitor_id, visitor_id, "user", None, (visitor_id,)))
        assert await authenticator.holds(Caller("ann", None, "user", None, ("ann",)))


async def test_who_was_many_visitors_looks_up_no_more_sessions_than_there_are(world: World) -> None:
    world.linked |= {f"visitor_{number}": "ann" for number in range(100)}
    bulk = {"ids": [f"s{number}" for number in range(200)], "action": "pin"}
    async with world.client("ann") as ann:
        assert (await ann.post(f"{SESSIONS}/bulk", json=bulk)).status_code == 200
    assert world.most_looked_up <= MOST_KEYS
