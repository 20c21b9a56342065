"""What others share with a caller, by name or by a project, over HTTP."""

from typing import Any

import httpx2
import pytest

from services.gateway.turns.past.history import HistoryMessage
from shared.ids import new_id
from tests.pure.gateway.samples import facts, minutes, stored
from tests.service.gateway.fakes import World
from tests.tokens import token_for

LIST = "/api/chat/sessions"


@pytest.fixture
def world() -> World:
    messages = [
        HistoryMessage("m1", "user", "hello", [], "gpt", "complete", None, minutes(1), {"k": "secret"}),
        HistoryMessage("n1", "system", "a secret quote", [], None, "complete", None, minutes(2)),
    ]
    row = stored(2, title="mine", metadata={"k": "secret"}, project_id="p1", folder="secret")
    return World(sessions=[facts("s1", stored=row)], messages=messages)


async def call(
    world: World, method: str, path: str, user: str = "u1", projects: Any = None, **query: Any
) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token_for(world.settings, user, projects=projects)}"}
    body = query.pop("body", None)
    async with world.client() as client:
        return await client.request(method, path, json=body, params=query, headers=headers)


async def share(world: World, projects: Any = None, **body: Any) -> Any:
    answer = await call(world, "POST", f"{LIST}/s1/shares", projects=projects, body=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["share"]


async def listed(world: World, user: str, projects: Any = None) -> list[str]:
    answer = await call(world, "GET", LIST, user, projects, shared=True)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["sessions"]]


async def test_a_named_user_lists_and_reads_it_and_nobody_else(world: World) -> None:
    made = await share(world, users=["u2", "u3", "u2"], expires_in=60)
    assert (made["users"], made["project_id"], made["token"], made["url"]) == (["u2", "u3"], None, None, None)
    answer = await call(world, "GET", LIST, "u2", shared=True)
    (one,) = answer.json()["sessions"]
    assert one == {
        "id": made["id"],
        "title": "mine",
        "shared_at": made["created_at"],
        "expires_at": made["expires_at"],
        "project_id": None,
        "url": f"/api/chat/shared/{made['id']}",
    }
    read = await call(world, "GET", one["url"], "u2")
    assert [message["content"] for message in read.json()["messages"]] == ["hello"]
    for kept_back in ("secret", "u1", "s1", "p1"):
        assert kept_back not in answer.text + read.text
    told = {name: read.headers[name] for name in ("x-robots-tag", "referrer-policy", "cache-control")}
    assert told == {"x-robots-tag": "noindex, nofollow", "referrer-policy": "no-referrer", "cache-control": "no-store"}
    assert (await listed(world, "u3"), await listed(world, "u4"), await listed(world, "u1")) == ([made["id"]], [], [])
    for stranger in ("u4", "u1"):
        assert (await call(world, "GET", one["url"], stranger)).status_code == 404
        assert (await call(world, "DELETE", one["url"], stranger)).status_code == 404
    async with world.client() as nobody:
        assert (await nobody.get(f"/api/shared/{made['id']}")).status_code == 404


async def test_a_project_share_is_for_tokens_that_name_the_project(world: World) -> None:
    made = await share(world, projects=["p1", "p2"], projectId="p2")
    assert (made["users"], made["project_id"]) == (None, "p2")
    path = f"/api/chat/shared/{made['id']}"
    for projects, status in ((["p2"], 200), (["p3", "p2"], 200), (["p1"], 404), ([], 404), (None, 404)):
        assert (await call(world, "GET", path, "u2", projects)).status_code == status, projects
        assert await listed(world, "u2", projects) == ([made["id"]] if status == 200 else []), projects
    left = await call(world, "DELETE", path, "u2", ["p2"])
    assert (left.status_code, await listed(world, "u2", ["p2"])) == (403, [made["id"]])


async def test_a_limited_token_sees_by_name_what_is_of_its_projects(world: World) -> None:
    made = await share(world, users=["u2"])
    for projects, status in ((["p1"], 200), (["p2"], 404), ([], 404), (None, 200)):
        assert (await call(world, "GET", f"/api/chat/shared/{made['id']}", "u2", projects)).status_code == status
        assert await listed(world, "u2", projects) == ([made["id"]] if status == 200 else []), projects


async def test_nobody_shares_with_a_project_that_their_token_does_not_name(world: World) -> None:
    for projects, status in ((["p1"], 403), (["p1", "p2"], 201), (None, 201)):
        body = {"project_id": "p2"}
        answer = await call(world, "POST", f"{LIST}/s1/shares", projects=projects, body=body)
        assert answer.status_code == status, projects


async def test_a_visitor_shares_by_a_link_alone(world: World) -> None:
    async with world.client() as visitor:
        began = await visitor.post(LIST, json={"id": "theirs"}, headers={"Origin": "http://gateway.test"})
        assert began.status_code in (201, 202), began.text
        for body, status in (({"users": ["u2"]}, 403), ({"project_id": "p"}, 403), ({}, 201)):
            assert (await visitor.post(f"{LIST}/theirs/shares", json=body)).status_code == status, body


async def test_who_leaves_reads_it_no_more_and_others_do(world: World) -> None:
    made = await share(world, users=["u2", "u3"])
    path = f"/api/chat/shared/{made['id']}"
    assert (await call(world, "DELETE", path, "u2")).status_code == 204
    assert [(await call(world, method, path, "u2")).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert (await listed(world, "u2"), await listed(world, "u3")) == ([], [made["id"]])
    shares = (await call(world, "GET", f"{LIST}/s1/shares")).json()["shares"]
    assert [each["users"] for each in shares] == [["u3"]]


async def test_what_is_taken_back_is_gone_for_its_readers_and_not_there_for_others(world: World) -> None:
    made = await share(world, users=["u2"])
    path = f"/api/chat/shared/{made['id']}"
    assert (await call(world, "DELETE", f"{LIST}/s1/shares/{made['id']}")).status_code == 200
    gone = await call(world, "GET", path, "u2")
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")
    assert (await call(world, "GET", path, "u3")).status_code == 404
    assert await listed(world, "u2") == []
    told = [(each.user_id, each.session_id, each.changed) for each in world.announced]  # type: ignore[attr-defined]
    assert told == [("u1", "s1", ("shares",)), ("u2", made["id"], ("shared",))] * 2


async def test_what_is_shared_is_paged_and_not_filtered(world: World) -> None:
    made = [(await share(world, users=["u2"]))["id"] for _ in range(3)]
    first = (await call(world, "GET", LIST, "u2", shared=True, limit=2)).json()
    rest = (await call(world, "GET", LIST, "u2", shared=True, cursor=first["next_cursor"])).json()
    assert [each["id"] for each in (*first["sessions"], *rest["sessions"])] == made[::-1]
    own = await call(world, "GET", LIST, "u2", shared=False, helper="h")
    assert (own.status_code, own.json()["sessions"]) == (200, [])
    assert (await call(world, "GET", LIST, "u2", cursor=first["next_cursor"])).status_code == 422
    for name, value in {"helper": "h", "projectId": "p", "archived": False, "label": "l", "q": "hello"}.items():
        refused = await call(world, "GET", LIST, "u2", shared=True, **{name: value})
        assert refused.status_code == 422, name
    assert (await call(world, "GET", f"/api/chat/shared/{new_id()}", "u2")).status_code == 404
