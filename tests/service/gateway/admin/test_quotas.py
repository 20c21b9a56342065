"""Administrators say how much one user may do."""

from typing import Any

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


async def test_nobody_else_says_it(world: World) -> None:
    for role in ("user", "service"):
        async with world.client("bob", role=role) as client:
            answer = await client.patch("/api/admin/users/bob", json={"quota": {"turns_per_day": 5}})
        assert answer.status_code == 403
    assert world.quotas == {}
