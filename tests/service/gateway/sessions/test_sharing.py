"""Links that show a session, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from services.gateway.turns.past.history import HistoryMessage
from shared.ids import new_id
from tests.pure.gateway.samples import facts, minutes, stored, turn
from tests.service.gateway.fakes import World
from tests.tokens import token_for

PATH = "/api/chat/sessions/s1/shares"
HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.fixture
def world() -> World:
    part = {"type": "tool-x", "providerMetadata": {"a": "secret"}, "state": "done"}
    messages = [
        HistoryMessage("m1", "user", HOSTILE, [], "gpt", "complete", None, minutes(1), {"k": "secret"}),
        HistoryMessage("n1", "system", "a secret quote", [], None, "complete", None, minutes(2)),
        HistoryMessage("a1", "assistant", "hello", [part], "gpt", "complete", "m1", minutes(3), error="secret"),
    ]
    row = stored(3, title="mine", metadata={"k": "secret"}, project_id="p", folder="secret")
    return World(sessions=[facts("s1", stored=row)], messages=messages)


async def share(
    world: World, user: str = "u1", path: str = PATH, headers: dict[str, str] | None = None, **body: Any
) -> httpx2.Response:
    async with world.client(user) as client:
        return await client.post(path, json=body, headers=headers)


async def read(world: World, url: str, **query: Any) -> httpx2.Response:
    async with world.client() as anybody:
        return await anybody.get(url, params=query)


async def test_whoever_has_the_link_reads_what_was_said_and_nothing_else(world: World) -> None:
    made = (await share(world)).json()["share"]
    assert made["url"] == f"/api/shared/{made['token']}"
    assert len(made["token"]) >= 43
    answer = await read(world, made["url"])
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"title", "shared_at", "expires_at", "next_cursor", "has_more", "messages"}
    one, two = answer.json()["messages"]
    assert set(one) == {"id", "role", "content", "parts", "status", "parent_id", "created_at"}
    assert (one["content"], two["parts"]) == (HOSTILE, [{"type": "tool-x", "state": "done"}])
    assert "secret" not in answer.text
    assert "u1" not in answer.text
    told = {name: answer.headers[name] for name in ("x-robots-tag", "referrer-policy", "cache-control")}
    assert told == {"x-robots-tag": "noindex, nofollow", "referrer-policy": "no-referrer", "cache-control": "no-store"}
    assert "set-cookie" not in answer.headers


async def test_what_is_said_and_renamed_later_is_not_shown(world: World) -> None:
    url = (await share(world)).json()["share"]["url"]
    later = datetime.now(UTC) + timedelta(minutes=1)
    world.messages.append(HistoryMessage("m9", "user", "later", [], None, "complete", None, later))
    world.sessions = [facts("s1", stored=stored(3, title="new title"))]
    answer = (await read(world, url)).json()
    assert (answer["title"], [message["id"] for message in answer["messages"]]) == ("mine", ["m1", "a1"])


async def test_it_is_read_page_by_page_and_with_what_is_not_stored(world: World) -> None:
    world.turns = [turn("s1", at=5, answered=6)]
    url, seen, cursor = (await share(world)).json()["share"]["url"], [], None
    for _ in range(5):
        page = (await read(world, url, limit=1, **({"cursor": cursor} if cursor else {}))).json()
        seen += [message["content"] for message in page["messages"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == ([HOSTILE, "hello", "question 5", "answer 5"], None)
    assert (await read(world, url, cursor="x")).status_code == 422


async def test_a_link_that_was_taken_back_is_gone(world: World) -> None:
    made = (await share(world)).json()["share"]
    async with world.client("u2") as stranger, world.client("u1") as owner:
        assert (await stranger.delete(f"{PATH}/{made['id']}")).status_code == 404
        assert (await read(world, made["url"])).status_code == 200
        first, again = [await owner.delete(f"{PATH}/{made['id']}") for _ in range(2)]
        assert (await owner.delete(f"{PATH}/{new_id()}")).status_code == 404
    assert (first.status_code, first.json()["share"]["revoked_at"]) == (200, again.json()["share"]["revoked_at"])
    told = [(each.user_id, each.session_id, each.changed) for each in world.announced]  # type: ignore[attr-defined]
    assert told == [("u1", "s1", ("shares",))] * 3
    gone = await read(world, made["url"])
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")


async def test_a_deleted_session_is_shared_with_nobody(world: World) -> None:
    url = (await share(world)).json()["share"]["url"]
    world.sessions = [facts("s1", stored=stored(3), deleted=True)]
    assert (await read(world, url)).status_code == 404


async def test_shares_are_listed_without_their_links(world: World) -> None:
    made = [(await share(world)).json()["share"] for _ in range(3)]
    async with world.client("u1") as client:
        first = (await client.get(PATH, params={"limit": 2})).json()
        rest = (await client.get(PATH, params={"cursor": first["next_cursor"]})).json()
    listed = [*first["shares"], *rest["shares"]]
    assert [each["id"] for each in listed] == [each["id"] for each in reversed(made)]
    assert all("token" not in each and "url" not in each for each in listed)


async def test_one_key_is_one_share_whose_link_is_told_once(world: World) -> None:
    first, again = [await share(world, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["share"] == first.json()["share"] | {"token": None, "url": None}


async def test_nobody_shares_or_sees_what_is_not_theirs(world: World) -> None:
    limited = {"Authorization": f"Bearer {token_for(world.settings, 'u1', projects=['x'])}"}
    made = (await share(world)).json()["share"]
    assert (await share(world, "u2")).status_code == 404
    assert (await share(world, path="/api/chat/sessions/nobody/shares")).status_code == 404
    assert (await share(world, headers=limited)).status_code == 404
    async with world.client("u2") as stranger, world.client("u1") as owner:
        assert (await stranger.get(PATH)).status_code == 404
        assert (await owner.get(PATH, headers=limited)).status_code == 404
        assert (await owner.delete(f"{PATH}/{made['id']}", headers=limited)).status_code == 404
    for tampered in (made["token"][:-1], made["token"] + "A", "x", made["id"], "x" * 5000, "%00"):
        assert (await read(world, f"/api/shared/{tampered}")).status_code == 404
    assert (await read(world, made["url"])).status_code == 200


async def test_a_share_ends_when_its_user_says(world: World) -> None:
    made = (await share(world, expires_in=60)).json()["share"]
    assert made["expires_at"] is not None
    soon = (datetime.now(UTC) + timedelta(days=3650)).isoformat()
    refused: tuple[dict[str, Any], ...] = (
        {"expires_in": 59},
        {"expires_in": 366 * 24 * 3600 + 1},
        {"expires_in": "60"},
        {"expires_at": "2000-01-01T00:00:00Z"},
        {"expires_at": soon},
        {"expires_at": "2030-01-01T00:00:00"},
        {"expires_in": 60, "expires_at": soon},
        {"users": []},
        {"users": [""]},
        {"users": ["u2", "u1"]},  # the owner
        {"users": [f"u{number}" for number in range(2, 53)]},
        {"users": ["u2"], "project_id": "p"},
        {"project_id": ""},
        {"surprise": "x" * 100_000},
    )
    for body in refused:
        assert (await share(world, **body)).status_code == 422, body


async def test_an_address_reads_so_many_a_minute(world: World) -> None:
    world.settings = world.settings.model_copy(update={"calls_per_minute": 3})
    answers = [await read(world, "/api/shared/nothing") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
