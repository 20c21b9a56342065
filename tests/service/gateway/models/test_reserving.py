"""Sessions are reserved with their tags, before anything is said in them."""

from typing import Any

import httpx2
import pytest

from services.gateway.models.reserving import BATCHES
from shared.events import SessionOpened, TagBatchRequested
from shared.ids import model_id
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/analytics/session-tags"


@pytest.fixture
async def world() -> World:
    world = World()
    async with world.client("admin", role="admin") as client:
        await client.post("/api/models", json={"name": "gpt", "provider": "openai"})
    return world


async def reserve(world: World, *, key: str | None = None, user: str = "u1", **body: Any) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    async with world.client(user) as client:
        return await client.post(PATH, json={"model": "gpt", "count": 3, **body}, headers=headers)


def batches(world: World) -> list[TagBatchRequested]:
    return [event for event in world.published if isinstance(event, TagBatchRequested)]


async def test_sessions_are_reserved_in_the_order_of_their_numbers(world: World) -> None:
    answer = await reserve(world, experiment_name="blue")
    assert answer.status_code == 201
    [event] = batches(world)
    tags = [f"chat_model_a1b2c3_00{number}" for number in (1, 2, 3)]
    assert answer.json() == {
        "session_tags": [
            {"session_id": session_id, "session_tag": tag, "counter": number}
            for number, (session_id, tag) in enumerate(zip(event.session_ids(), tags, strict=True), 1)
        ],
        "stored": True,
    }
    assert (event.user_id, event.name, event.provider, event.experiment_name) == ("u1", "gpt", "openai", "blue")


async def test_one_key_of_one_user_reserves_once(world: World) -> None:
    first, again = await reserve(world, key="k"), await reserve(world, key="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len(batches(world)) == 1

    others = [await reserve(world, key="k", user="u2"), await reserve(world, key="l"), await reserve(world)]
    ids = {tag["session_id"] for answer in (first, *others) for tag in answer.json()["session_tags"]}
    assert len(ids) == 12


async def test_where_the_tagger_is_away_the_sessions_are_told_without_tags(world: World) -> None:
    world.consumers_away = True
    waiting = await reserve(world, key="k")
    assert (waiting.status_code, waiting.json()["stored"]) == (202, False)
    assert {(tag["session_tag"], tag["counter"]) for tag in waiting.json()["session_tags"]} == {(None, None)}

    world.consumers_away = False
    for event in batches(world):
        world.store(event)
    there = await reserve(world, key="k")
    assert there.status_code == 200
    ids = [[tag["session_id"] for tag in answer.json()["session_tags"]] for answer in (waiting, there)]
    assert ids[0] == ids[1]


async def test_a_reserved_session_is_shown_with_its_tag_and_can_be_titled(world: World) -> None:
    answer = await reserve(world, experiment_name="blue")
    first = answer.json()["session_tags"][0]
    path = f"/api/chat/sessions/{first['session_id']}"
    async with world.client("u1") as client:
        session = (await client.get(path)).json()["session"]
        tag = (await client.get(f"{path}/tag")).json()
        begun = await client.post("/api/chat/sessions", json={"id": first["session_id"], "title": "Mine"})
    async with world.client("u2") as client:
        assert (await client.get(path)).status_code == 404
    assert (session["session_tag"], session["tag_label"], session["experiment_name"]) == (
        first["session_tag"],
        "[gpt #001]",
        "blue",
    )
    assert (session["message_count"], session["stored"], session["mixed"]) == (0, False, False)
    assert (tag["counter"], tag["experiment_name"], tag["model_id"]) == (1, "blue", str(model_id("openai", "gpt")))
    assert begun.json()["session"]["title"] == "Mine"
    assert any(isinstance(event, SessionOpened) for event in world.published)


async def test_a_model_is_named_by_its_name_or_id(world: World) -> None:
    assert (await reserve(world, model=str(model_id("openai", "gpt")))).status_code == 201
    for unknown in ("other", str(model_id("openai", "other")), "gpt\u00e4"):
        answer = await reserve(world, model=unknown)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_model_that_is_not_tracked_is_not_found(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        await client.patch(f"/api/models/{model_id('openai', 'gpt')}", json={"tracked": False})
    assert (await reserve(world)).status_code == 404
    assert batches(world) == []


REFUSED = [
    {"count": 0},
    {"count": 1001},
    {"count": "3"},
    {"count": 1.5},
    {"model": ""},
    {"experiment_name": ""},
    {"x": 1},
]


@pytest.mark.parametrize("body", REFUSED, ids=str)
async def test_what_is_no_batch_is_refused(world: World, body: dict[str, Any]) -> None:
    assert (await reserve(world, **body)).status_code == 422


async def test_a_thousand_are_one_event(world: World) -> None:
    answer = await reserve(world, count=1000)
    assert len({tag["session_id"] for tag in answer.json()["session_tags"]}) == 1000
    [event] = batches(world)
    assert len(event.body()) < 1000


async def test_visitors_and_tokens_of_projects_reserve_nothing(world: World) -> None:
    async with world.client(None) as client:
        await client.post("/api/auth/visitor")
        assert (await client.post(PATH, json={"model": "gpt", "count": 1})).status_code == 403
    limited = token_for(world.settings, "u1", projects=["p"])
    async with world.client() as client:
        client.headers["Authorization"] = f"Bearer {limited}"
        assert (await client.post(PATH, json={"model": "gpt", "count": 1})).status_code == 403


async def test_without_a_broker_nothing_is_reserved(world: World) -> None:
    world.broker_away = True
    assert (await reserve(world)).status_code == 503


async def test_a_user_reserves_so_many_batches_a_minute(world: World) -> None:
    answers = [await reserve(world, count=1) for _ in range(BATCHES.amount + 1)]
    assert [answer.status_code for answer in answers[:-1]] == [201] * BATCHES.amount
    assert answers[-1].status_code == 429
    assert (await reserve(world, count=1, user="u2")).status_code == 201
