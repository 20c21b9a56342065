"""API keys: who makes them, what they may do, and how soon they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from services.gateway.account import standing
from services.gateway.account.keys.api_keys import new_key
from services.gateway.account.keys.store import ApiKey
from services.gateway.account.rights import RIGHTS
from shared.ids import new_id, secret_hash
from tests.service.gateway.fakes import World
from tests.tokens import token_for
from tests.waiting import until_true

KEYS = "/api/keys"


@pytest.fixture
def world() -> World:
    return World()


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(standing, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@asynccontextmanager
async def calling(world: World, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with world.client() as client:
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


async def made(world: World, user: str = "ann", role: str = "user", projects: Any = None, **body: Any) -> Any:
    async with calling(world, token_for(world.settings, user, role=role, projects=projects)) as client:
        return await client.post(KEYS, json={"name": "k", **body})


async def key_of(world: World, user: str = "ann", role: str = "user", **body: Any) -> str:
    answer = await made(world, user, role, **body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"]["token"])


async def status(world: World, key: str) -> int:
    async with calling(world, key) as client:
        return (await client.get("/api/me")).status_code


async def test_a_key_calls_as_whoever_made_it_and_is_told_once(world: World) -> None:
    answer = await made(world, name="nightly import")
    key = answer.json()["key"]
    assert answer.status_code == 201
    assert key["token"].startswith("tt_")
    assert (key["name"], key["role"], key["projects"], key["revoked_at"]) == ("nightly import", "user", None, None)
    async with calling(world, key["token"]) as client:
        me = (await client.get("/api/me")).json()
    assert (me["user_id"], me["role"], me["projects"]) == ("ann", "user", None)
    async with world.client("ann") as client:
        listed = (await client.get(KEYS)).json()
    assert [each["id"] for each in listed["keys"]] == [key["id"]]
    assert "token" not in listed["keys"][0]
    assert key["token"].encode() not in repr(world.keys).encode()


async def test_a_repeat_by_its_idempotency_key_is_the_same_key_and_tells_it_no_more(world: World) -> None:
    async with world.client("ann") as client:
        first, again = [
            await client.post(KEYS, json={"name": "k"}, headers={"Idempotency-Key": "once"}) for _ in range(2)
        ]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["key"]["id"] == again.json()["key"]["id"]
    assert again.json()["key"]["token"] is None


@pytest.mark.parametrize("maker", RIGHTS)
@pytest.mark.parametrize("role", RIGHTS)
async def test_a_key_has_no_greater_role_than_its_maker(world: World, maker: str, role: str) -> None:
    order = ["user", "service", "admin"]
    allowed = order.index(role) <= order.index(maker)
    async with world.client("ann", role=maker) as client:
        answer = await client.post(KEYS, json={"name": "k", "role": role})
    assert answer.status_code == (201 if allowed else 403)
    assert len(world.keys) == (1 if allowed else 0)
    if allowed:
        async with calling(world, answer.json()["key"]["token"]) as client:
            assert (await client.get("/api/me")).json()["role"] == role


@pytest.mark.parametrize(
    ("makers", "asked", "given"),
    [
        (None, None, None),
        (None, ["p1", "p1"], ["p1"]),
        (["p1", "p2"], None, ["p1", "p2"]),
        (["p1", "p2"], ["p2"], ["p2"]),
        (["p1"], ["p1", "p3"], 403),
        ([], ["p1"], 403),
        ([], None, []),
    ],
)
async def test_a_key_has_no_more_projects_than_its_maker(world: World, makers: Any, asked: Any, given: Any) -> None:
    body = {} if asked is None else {"projects": asked}
    async with calling(world, token_for(world.settings, "ann", projects=makers)) as client:
        answer = await client.post(KEYS, json={"name": "k", **body})
    if given == 403:
        assert (answer.status_code, world.keys) == (403, {})
        return
    async with calling(world, answer.json()["key"]["token"]) as client:
        assert (await client.get("/api/me")).json()["projects"] == given


async def test_a_key_and_a_visitor_see_to_no_keys(world: World) -> None:
    key = await key_of(world, role="admin")
    key_id = next(iter(world.keys.values()))[1].key_id
    async with calling(world, key) as by_key, world.client() as visitor:
        await visitor.post("/api/auth/visitor")
        for client in (by_key, visitor):
            assert (await client.post(KEYS, json={"name": "k"})).status_code == 403
            assert (await client.get(KEYS)).status_code == 403
            assert (await client.delete(f"{KEYS}/{key_id}")).status_code == 403
    async with world.client() as nobody:
        assert (await nobody.post(KEYS, json={"name": "k"})).status_code == 401
    assert len(world.keys) == 1


async def test_a_limited_token_sees_to_keys_of_its_projects_only(world: World) -> None:
    async with world.client("ann") as client:
        whole, p1 = [
            (await client.post(KEYS, json={"name": "k", **body})).json()["key"]["id"]
            for body in ({}, {"projects": ["p1"]})
        ]
    async with calling(world, token_for(world.settings, "ann", projects=["p1"])) as client:
        assert [each["id"] for each in (await client.get(KEYS)).json()["keys"]] == [p1]
        assert (await client.delete(f"{KEYS}/{whole}")).status_code == 404
        assert (await client.delete(f"{KEYS}/{p1}")).status_code == 200
    async with world.client("eve") as client:
        assert (await client.get(KEYS)).json()["keys"] == []
        assert (await client.delete(f"{KEYS}/{whole}")).status_code == 404


async def test_keys_in_use_are_asked_about_together_and_twice_a_second_at_most(world: World, clock: Clock) -> None:
    keys = [await key_of(world, f"u{n}") for n in range(3)]
    for key in keys * 4:
        assert await status(world, key) == 200
    assert [what for what in world.keys_asked if what != "note"] == ["find"] * 3
    clock.now += standing.ASKED_EVERY_S + 0.01
    assert {await status(world, key) for key in keys * 4} == {200}
    assert [what for what in world.keys_asked if what != "note"] == ["find"] * 3 + ["standing"]


async def test_a_key_that_is_taken_back_counts_no_more_when_it_was_asked_about(world: World, clock: Clock) -> None:
    key, other = await key_of(world), await key_of(world)
    assert {await status(world, each) for each in (key, other)} == {200}
    key_id = world.keys[secret_hash(key)][1].key_id
    async with world.client("ann") as client:
        for _ in range(2):  # a repeat changes nothing
            assert (await client.delete(f"{KEYS}/{key_id}")).status_code == 200
    clock.now += standing.ASKED_EVERY_S + 0.01
    assert (await status(world, key), await status(world, other)) == (401, 200)
    async with world.client("ann") as client:
        listed = {each["id"]: each["revoked_at"] for each in (await client.get(KEYS)).json()["keys"]}
    assert listed[str(key_id)] is not None


async def test_an_erased_users_keys_count_no_more(world: World, clock: Clock) -> None:
    key = await key_of(world)
    assert await status(world, key) == 200
    world.erased.add("ann")
    clock.now += standing.ASKED_EVERY_S + 0.01
    assert await status(world, key) == 401


async def test_while_the_database_is_away_a_remembered_key_lets_nobody_in(world: World, clock: Clock) -> None:
    key = await key_of(world)
    assert await status(world, key) == 200
    world.reads_fail = True
    clock.now += standing.ASKED_EVERY_S + 0.01
    assert await status(world, key) == 503
    world.reads_fail = False
    assert await status(world, key) == 200


async def test_a_key_ends_when_it_was_to(world: World) -> None:
    answer = await made(world, name="k")
    ends = datetime.fromisoformat(answer.json()["key"]["expires_at"])
    assert timedelta(days=89) < ends - datetime.now(UTC) <= timedelta(days=90)
    key = keep(world, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await status(world, key) == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 256},
        {"name": "a\x00b"},
        {"name": "k", "role": "root"},
        {"name": "k", "projects": []},
        {"name": "k", "projects": "p1"},
        {"name": "k", "projects": ["p"] * 101},
        {"name": "k", "expires_in": 59},
        {"name": "k", "expires_in": 367 * 86400},
        {"name": "k", "expires_in": "3600"},
        {"name": "k", "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "k", "expires_in": 60, "expires_at": "2099-01-01T00:00:00Z"},
        {"name": "k", "token": "tt_" + "a" * 43},
    ],
)
async def test_a_bad_wish_for_a_key_makes_none(world: World, body: dict[str, Any]) -> None:
    async with world.client("ann") as client:
        answer = await client.post(KEYS, json=body)
    assert answer.status_code in (400, 422), answer.text
    assert world.keys == {}


@pytest.mark.parametrize(
    "shape", ["tt_", "tt_x", "tt_" + "a" * 42, "tt_" + "a" * 44, "tt_" + "a" * 42 + "!", "tt_" + "a" * 8000]
)
async def test_what_can_be_no_key_is_not_looked_up(world: World, shape: str) -> None:
    assert await status(world, shape) == 401
    assert world.keys_asked == []


async def test_guessing_ends_and_keys_in_use_go_on(world: World) -> None:
    world.settings = world.settings.model_copy(update={"wrong_keys_per_minute": 5})
    key, other = await key_of(world), await key_of(world)
    assert await status(world, key) == 200
    wrong = [await status(world, new_key()) for _ in range(8)]
    assert wrong == [401] * 5 + [429] * 3
    assert await status(world, key) == 200
    async with calling(world, other) as client:
        answer = await client.get("/api/me")
    assert answer.status_code == 429, "which nobody can tell from a guess without looking"
    assert int(answer.headers["retry-after"]) >= 1


async def test_use_is_noted_once_an_hour(world: World, clock: Clock) -> None:
    key = await key_of(world)
    for _ in range(3):
        await status(world, key)
    await until_true(lambda: world.keys_asked.count("note") == 1)
    async with world.client("ann") as client:
        assert (await client.get(KEYS)).json()["keys"][0]["last_used_at"] is not None
    for _ in range(121):
        clock.now += 30  # in use all the time, so that it is remembered
        assert await status(world, key) == 200
    await until_true(lambda: world.keys_asked.count("note") == 2)


async def test_a_key_that_nobody_used_for_a_while_is_not_asked_about(world: World, clock: Clock) -> None:
    idle, used = await key_of(world), await key_of(world)
    await status(world, idle)
    clock.now += standing.FORGOTTEN_S
    await status(world, used)
    clock.now += standing.ASKED_EVERY_S + 0.01
    await status(world, used)
    world.keys_asked.clear()
    assert await status(world, idle) == 200
    assert "find" in world.keys_asked


async def test_many_at_once_ask_once(world: World, clock: Clock) -> None:
    key = await key_of(world)
    await status(world, key)
    clock.now += standing.ASKED_EVERY_S + 0.01
    world.keys_asked.clear()
    assert set(await asyncio.gather(*(status(world, key) for _ in range(30)))) == {200}
    assert [what for what in world.keys_asked if what != "note"] == ["standing"]


async def test_pages_of_keys_are_cut_as_other_lists_are(world: World) -> None:
    for n in range(5):
        keep(world, created_at=datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=n))
    async with world.client("ann") as client:
        first = (await client.get(KEYS, params={"limit": 3})).json()
        second = (await client.get(KEYS, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert (len(first["keys"]), first["has_more"], len(second["keys"]), second["has_more"]) == (3, True, 2, False)


def keep(world: World, **changes: Any) -> str:
    """Keep a key that nobody has made by a call."""
    row: dict[str, Any] = {
        "key_id": new_id(),
        "name": "k",
        "role": "user",
        "projects": None,
        "created_at": datetime.now(UTC),
        "expires_at": None,
        "last_used_at": None,
        "revoked_at": None,
    }
    key = new_key()
    world.keys[secret_hash(key)] = "ann", ApiKey(**(row | changes))
    return key
