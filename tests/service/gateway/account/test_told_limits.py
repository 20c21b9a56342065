"""What callers, operators and administrators hear of limits."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.service.gateway.fakes import World


@pytest.fixture
def world() -> World:
    world = World()
    world.settings = world.settings.model_copy(update={"calls_per_minute": 2, "turns_per_minute": 2})
    return world


def refused(limit: str) -> float:
    return REGISTRY.get_sample_value("tripthread_refused_total", {"limit": limit}) or 0.0


async def test_answers_say_what_is_left_and_refusals_which_limit_it_is(world: World) -> None:
    before = refused("calls")
    async with world.client("ann") as client:
        first, second, third = [await client.get("/api/me") for _ in range(3)]
    assert first.headers["ratelimit-policy"] == '"calls";q=2;w=60'
    assert first.headers["ratelimit"].startswith('"calls";r=1;t=')
    assert second.headers["ratelimit"].startswith('"calls";r=0;t=')
    assert (third.status_code, third.json()["code"], third.json()["limit"]) == (429, "too_many_requests", "calls")
    assert third.headers["ratelimit-policy"] == '"calls";q=2;w=60'
    assert third.headers["ratelimit"] == f'"calls";r=0;t={third.headers["retry-after"]}'
    assert "headers" not in third.json()
    assert refused("calls") == before + 1


async def test_a_chat_says_how_many_turns_are_left(world: World) -> None:
    body: dict[str, Any] = {"message": "hi", "stream": False}
    async with world.client("ann") as client:
        answers = [await client.post("/api/chat", json=body) for _ in range(3)]
    assert [each.headers["ratelimit"].partition(";t=")[0] for each in answers] == [
        '"turns";r=1',
        '"turns";r=0',
        '"turns";r=0',
    ]
    assert (answers[2].status_code, answers[2].json()["limit"]) == (429, "turns")


async def test_who_is_not_counted_is_told_of_no_limit(world: World) -> None:
    async with world.client("root", role="admin") as client:
        answers = [await client.get("/api/me") for _ in range(4)]
    assert {each.status_code for each in answers} == {200}
    assert "ratelimit" not in answers[0].headers


async def test_refusals_are_remembered_of_users_until_they_are_noted_all_at_once(world: World) -> None:
    for user in ("ann", "bob"):
        async with world.client(user) as client:
            for _ in range(4):
                await client.get("/api/me")
    async with world.client() as client:
        for _ in range(4):
            await client.get("/api/me")
    assert world.refusals.take() == {"ann": 2, "bob": 2}
    assert world.refusals.take() == {}


async def test_a_message_that_is_too_long_is_refused_whichever_way_it_comes(world: World) -> None:
    world.settings = world.settings.model_copy(
        update={"max_message_characters": 5, "calls_per_minute": 99, "turns_per_minute": 99}
    )
    long, fits = "\u00e9" * 6, "\u00e9" * 5
    async with world.client("ann") as client:
        asked = [
            await client.post("/api/chat", json={"message": text, "stream": False, "session_id": "s1"})
            for text in (long, fits)
        ]
        posted = [
            await client.post("/api/chat/sessions/s2/messages", json={"role": role, "content": text})
            for role, text in (("user", long), ("user", fits), ("assistant", long))
        ]
        completion = {"model": "sandbox-small", "messages": [{"role": "user", "content": long}]}
        completed = await client.post("/v1/chat/completions", json=completion)
    assert [each.status_code for each in asked] == [413, 200]
    assert [each.status_code // 100 for each in posted] == [4, 2, 2]
    refused = asked[0].json()
    assert (refused["code"], refused["limit"], refused["quota"]) == ("too_large", "message_characters", 5)
    assert refused["detail"] == "A message may have at most 5 characters: this one has 6."
    assert (completed.status_code, completed.json()["error"]["code"]) == (413, "too_large")
