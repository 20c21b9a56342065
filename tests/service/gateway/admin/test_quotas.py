"""Administrators say how much one user may do."""

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.service.gateway.fakes import World

NOTHING = dict.fromkeys(("turns_per_day", "tokens_per_day", "sessions_per_day", "sessions_in_all"))


@pytest.fixture
def world() -> World:
    world = World()
    world.settings = world.settings.model_copy(update={"turns_per_day": 100})
    return world


async def test_what_is_said_counts_and_the_rest_is_as_the_settings_say(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        first = await client.patch("/api/admin/users/bob", json={"quota": {"tokens_per_day": 5}})
        second = await client.patch("/api/admin/users/bob", json={"quota": {"turns_per_day": 0}})
        third = await client.patch("/api/admin/users/bob", json={"quota": {"tokens_per_day": None}})
    assert first.json()["user"] == {
        "user_id": "bob",
        "quota": {**NOTHING, "tokens_per_day": 5},
        "limits": {**NOTHING, "tokens_per_day": 5, "turns_per_day": 100},
        "today": {"day": "2020-01-01", "turns": 0, "input_tokens": 0, "output_tokens": 0, "sessions": 0, "refused": 0},
    }
    assert second.json()["user"]["limits"] == {**NOTHING, "tokens_per_day": 5, "turns_per_day": 0}
    assert third.json()["user"]["quota"] == {**NOTHING, "turns_per_day": 0}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"quota": {"turns_per_day": -1}},
        {"quota": {"turns_per_day": 2**31}},
        {"quota": {"turns_per_day": "5"}},
        {"quota": {"turns": 5}},
        {"quota": None},
    ],
    ids=lambda body: str(body)[:40],
)
async def test_what_is_no_quota_is_refused(world: World, body: Any) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.patch("/api/admin/users/bob", json=body)
    assert answer.status_code == 422
    assert world.quotas == {}


PROVIDERS_OWN = ["https://issuer.example/ann", "saml|corp/ann", "ann/erase", "a%2Fb", "ann/", "oauth2|a b;c?d#e"]


@pytest.mark.parametrize("user_id", PROVIDERS_OWN)
async def test_a_user_is_named_whatever_their_provider_calls_them(world: World, user_id: str) -> None:
    async with world.client("admin", role="admin") as client:
        path = f"/api/admin/users/{quote(user_id, safe='')}"
        said = await client.patch(path, json={"quota": {"turns_per_day": 5}})
        erased = await client.post(f"{path}/erase")
        export = await client.get(f"{path}/export")
        left = await client.post(f"{path}/logout")
    assert (said.status_code, said.json()["user"]["user_id"], [*world.quotas]) == (200, user_id, [user_id])
    assert (erased.status_code, world.erased) == (202, {user_id})
    assert (export.status_code, orjson.loads(export.text.splitlines()[0])["users"]) == (200, [user_id])
    assert left.status_code == 200


@pytest.mark.parametrize("path", ["a/b", "a//b", "a/", "/a", "a/b%2Fc", "a%2Fb/", "a%2Ferase/nothing"])
async def test_a_slash_that_is_not_escaped_is_no_part_of_a_users_name(world: World, path: str) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.patch(f"/api/admin/users/{path}", json={"quota": {"turns_per_day": 5}})
    assert (answer.status_code, world.quotas) == (404, {})


async def test_nobody_else_says_it(world: World) -> None:
    for role in ("user", "service"):
        async with world.client("bob", role=role) as client:
            answer = await client.patch("/api/admin/users/bob", json={"quota": {"turns_per_day": 5}})
        assert answer.status_code == 403
    assert world.quotas == {}
