"""One thing done to many sessions, over HTTP."""

from typing import Any

import httpx2
import pytest

from tests.pure.gateway.samples import facts, stored, turn
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/chat/sessions/bulk"


@pytest.fixture
def world() -> World:
    rows = {"s1": stored(1), "s2": stored(2, labels=["x"], project_id="p"), "gone": stored(3)}
    return World(sessions=[facts(name, stored=row, deleted=name == "gone") for name, row in rows.items()])


async def bulk(world: World, user: str = "u1", token: str | None = None, **body: Any) -> httpx2.Response:
    async with world.client(user) as client:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return await client.post(PATH, json=body, headers=headers)


async def session(world: World, session_id: str) -> Any:
    async with world.client("u1") as client:
        return (await client.get(f"/api/chat/sessions/{session_id}")).json()["session"]


async def test_each_id_has_its_result_and_a_bad_one_spoils_nothing(world: World) -> None:
    answer = await bulk(world, ids=["s1", "nobody", "no spaces", "gone", "s2", "s1"], action="archive")
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [(each["id"], each["ok"], each["code"]) for each in results] == [
        ("s1", True, None),
        ("nobody", False, "not_found"),
        ("no spaces", False, "invalid"),
        ("gone", False, "not_found"),
        ("s2", True, None),
    ]
    assert [each["stored"] for each in results] == [True, False, False, False, True]
    assert [(await session(world, name))["archived"] for name in ("s1", "s2")] == [True, True]


async def test_every_action_does_what_it_says(world: World) -> None:
    async def after(**body: Any) -> Any:
        assert (await bulk(world, ids=["s2"], **body)).status_code == 200
        return await session(world, "s2")

    assert (await after(action="pin"))["pinned"] is True
    assert (await after(action="unpin"))["pinned"] is False
    assert (await after(action="archive"))["archived"] is True
    assert (await after(action="unarchive"))["archived"] is False
    assert (await after(action="move", value="clients"))["folder"] == "clients"
    assert (await after(action="move", value=None))["folder"] is None
    assert (await after(action="label", value="y"))["labels"] == ["x", "y"]
    assert (await after(action="label", value="x"))["labels"] == ["x", "y"]


async def test_a_session_that_is_full_of_labels_takes_no_more(world: World) -> None:
    world.sessions = [facts("s1", stored=stored(1, labels=[str(n) for n in range(20)])), facts("s2", stored=stored(2))]
    results = (await bulk(world, ids=["s1", "s2"], action="label", value="one more")).json()["results"]
    assert [(each["ok"], each["code"]) for each in results] == [(False, "invalid"), (True, None)]


async def test_what_is_not_stored_in_time_is_accepted(world: World) -> None:
    world.consumers_away, world.turns = True, [turn("s3", at=1)]
    answer = await bulk(world, ids=["s1", "s3", "nobody"], action="pin")
    assert answer.status_code == 202
    found = [(each["ok"], each["stored"]) for each in answer.json()["results"]]
    assert found == [(True, False), (True, False), (False, False)]


async def test_somebody_elses_sessions_are_not_touched(world: World) -> None:
    answer = await bulk(world, "u2", ids=["s1", "s2"], action="archive")
    assert [each["code"] for each in answer.json()["results"]] == ["not_found", "not_found"]
    limited = token_for(world.settings, "u1", projects=["p"])
    answer = await bulk(world, token=limited, ids=["s1", "s2"], action="pin")
    assert [each["ok"] for each in answer.json()["results"]] == [False, True]
    assert [event.session_id for event in world.published] == ["s2"]  # type: ignore[attr-defined]


async def test_without_a_broker_nothing_is_accepted(world: World) -> None:
    world.broker_away = True
    assert (await bulk(world, ids=["s1"], action="pin")).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        {"ids": [], "action": "pin"},
        {"ids": ["s"] * 201, "action": "pin"},
        {"ids": ["s1"], "action": "explode"},
        {"ids": ["s1"]},
        {"ids": ["s1"], "action": "label"},
        {"ids": ["s1"], "action": "label", "value": None},
        {"ids": ["s1"], "action": "pin", "value": "x"},
        {"ids": [5], "action": "pin"},
    ],
)
async def test_what_cannot_be_done_is_refused(world: World, body: dict[str, Any]) -> None:
    assert (await bulk(world, **body)).status_code == 422
    assert world.published == []


async def test_folders_and_labels_are_listed_by_name(world: World) -> None:
    world.sessions = [
        facts("s1", stored=stored(1, folder="b", labels=["x", "y"])),
        facts("s2", stored=stored(2, folder="a", labels=["x"])),
    ]
    async with world.client("u1") as client:
        answer = await client.get("/api/chat/folders")
    assert answer.json() == {
        "folders": [{"name": "a", "count": 1}, {"name": "b", "count": 1}],
        "labels": [{"name": "x", "count": 2}, {"name": "y", "count": 1}],
    }
