"""Templates, and sessions that are begun with them, over HTTP."""

from typing import Any

import httpx2
import pytest

from shared.ids import new_id
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/chat/templates"
WHOLE = {
    "title": "<b>New</b>\u202e",
    "helper": "h",
    "experiment_name": "blue",
    "analytics": False,
    "metadata": {"k": 1},
}


async def call(
    world: World, method: str, path: str = PATH, *, user: str = "u1", projects: Any = None, key: str = "", **body: Any
) -> httpx2.Response:
    token = token_for(world.settings, user, projects=projects)
    headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
    async with world.client() as client:
        return await client.request(method, path, json=body if method in ("POST", "PATCH") else None, headers=headers)


async def make(world: World, **about: Any) -> Any:
    answer = await call(world, "POST", name="mine", **about)
    assert answer.status_code == 201, answer.text
    return answer.json()["template"]


async def listed(world: World, **who: Any) -> list[str]:
    return [each["id"] for each in (await call(world, "GET", **who)).json()["templates"]]


async def test_a_session_has_what_its_template_has_and_its_creation_leaves_out() -> None:
    world = World()
    template = await make(world, **WHOLE)
    begun = (await call(world, "POST", "/api/chat/sessions", template_id=template["id"], title="own")).json()["session"]
    told = {name: begun[name] for name in WHOLE}
    assert told == {**WHOLE, "title": "own"}
    other = (await call(world, "POST", "/api/chat/sessions", template_id=template["id"])).json()["session"]
    assert other["title"] == WHOLE["title"]


async def test_a_template_is_changed_field_by_field_and_deleted() -> None:
    world = World()
    template = await make(world, **WHOLE)
    path = f"{PATH}/{template['id']}"
    changed = (await call(world, "PATCH", path, title=None, name="other")).json()["template"]
    assert (changed["title"], changed["name"], changed["helper"]) == (None, "other", "h")
    assert (await call(world, "PATCH", path)).status_code == 422
    deleted = await call(world, "DELETE", path)
    assert (deleted.status_code, deleted.json()) == (200, {"id": template["id"], "stored": True})
    assert await listed(world) == []
    for method in ("PATCH", "DELETE"):
        assert (await call(world, method, path, name="x")).status_code == 404
    refused = await call(world, "POST", "/api/chat/sessions", template_id=template["id"])
    assert refused.status_code == 422


async def test_nobody_sees_changes_or_uses_somebody_elses() -> None:
    world = World()
    template = await make(world)
    of_p = await make(world, project_id="p")
    assert await listed(world) == [of_p["id"], template["id"]]
    assert await listed(world, projects=["p"]) == [of_p["id"]]
    strangers: list[dict[str, Any]] = [{"user": "u2"}, {"projects": ["q"]}, {"projects": []}]
    for who in strangers:
        assert await listed(world, **who) == []
        for method in ("PATCH", "DELETE"):
            assert (await call(world, method, f"{PATH}/{of_p['id']}", name="x", **who)).status_code == 404
    for who in strangers[:2]:
        refused = await call(world, "POST", "/api/chat/sessions", template_id=of_p["id"], **who)
        assert refused.status_code == 422
    assert (await call(world, "POST", name="x", projects=["p"])).json()["template"]["project_id"] == "p"
    assert (await call(world, "POST", name="x", projects=["p"], project_id="q")).status_code == 403
    assert (await call(world, "POST", name="x", projects=["p", "q"])).status_code == 422
    begun = await call(world, "POST", "/api/chat/sessions", template_id=of_p["id"])
    assert begun.json()["session"]["project_id"] == "p"


async def test_one_key_is_one_template() -> None:
    world = World()
    first, again = [await call(world, "POST", name="mine", key="k") for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


async def test_what_is_away_is_told() -> None:
    world = World()
    template = await make(world)
    path = f"{PATH}/{template['id']}"
    world.consumers_away = True
    answers = [
        await call(world, "POST", name="x"),
        await call(world, "PATCH", path, title="x"),
        await call(world, "DELETE", path),
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    world.broker_away = True
    for method, where in (("POST", PATH), ("PATCH", path), ("DELETE", path)):
        assert (await call(world, method, where, name="x")).status_code == 503


@pytest.mark.parametrize(
    "body",
    [{}, {"name": " "}, {"name": "x" * 256}, {"name": "x", "title": "x" * 100_000}, {"name": "x", "surprise": 1}],
)
async def test_what_cannot_be_kept_is_refused(body: dict[str, Any]) -> None:
    world = World()
    assert (await call(world, "POST", **body)).status_code == 422
    assert (await call(world, "PATCH", f"{PATH}/{new_id()}", name="x")).status_code == 404
    assert world.published == []
