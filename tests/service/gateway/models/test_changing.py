"""An administrator names a model for people, and has its sessions tagged, or not."""

import pytest

from shared.events import ModelChanged
from shared.ids import model_id
from tests.pure.gateway.samples import NOON
from tests.service.gateway.fakes import World

GPT = f"/api/models/{model_id('openai', 'gpt')}"


@pytest.fixture
async def world() -> World:
    world = World()
    async with world.client("admin", role="admin") as client:
        await client.post("/api/models", json={"name": "gpt", "provider": "openai"})
    return world


async def test_a_model_is_renamed_and_keeps_its_id(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        (before,) = (await client.get("/api/models")).json()["models"]
        answer = await client.patch(GPT, json={"display_name": "Our <best>"})
        (listed,) = (await client.get("/api/models")).json()["models"]
        back = await client.patch(GPT, json={"display_name": None})
    assert (answer.status_code, answer.json()) == (200, {**before, "display_name": "Our <best>", "stored": True})
    assert listed == {**before, "display_name": "Our <best>"}
    assert back.json()["display_name"] == "gpt"


async def test_what_is_not_named_is_not_said(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.patch(GPT, json={"tracked": False})
    event = world.published[-1]
    assert isinstance(event, ModelChanged)
    assert (event.changed, event.tracked, event.occurred_at) == (("tracked",), False, NOON)
    assert (answer.json()["tracked"], answer.json()["display_name"]) == (False, "gpt")


async def test_a_change_to_what_is_so_already_is_no_event(world: World) -> None:
    before = len(world.published)
    async with world.client("admin", role="admin") as client:
        answers = [await client.patch(GPT, json=body) for body in ({"tracked": True}, {"display_name": "gpt"}, {})]
    assert [(answer.status_code, answer.json()["stored"]) for answer in answers] == [(200, True)] * 3
    assert len(world.published) == before


async def test_a_change_that_is_not_stored_in_time_is_answered_whole(world: World) -> None:
    world.consumers_away = True
    async with world.client("admin", role="admin") as client:
        answer = await client.patch(GPT, json={"display_name": "Best", "tracked": False})
    assert answer.status_code == 202
    changed = {name: answer.json()[name] for name in ("display_name", "tracked", "short_id", "stored")}
    assert changed == {"display_name": "Best", "tracked": False, "short_id": "a1b2c3", "stored": False}


async def test_only_an_administrator_changes_models(world: World) -> None:
    async with world.client("u1") as client:
        answer = await client.patch(GPT, json={"tracked": False})
    assert answer.status_code == 403


REFUSED = [{"name": "x"}, {"tracked": None}, {"tracked": "no"}, {"display_name": " "}, {"display_name": "x" * 256}]


@pytest.mark.parametrize("body", REFUSED, ids=str)
async def test_what_cannot_be_set_is_refused(world: World, body: dict[str, object]) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.patch(GPT, json=body)
    assert answer.status_code == 422


async def test_an_unknown_model_is_not_found(world: World) -> None:
    async with world.client("admin", role="admin") as client:
        answer = await client.patch(f"/api/models/{model_id('p', 'other')}", json={"tracked": False})
    assert answer.status_code == 404
