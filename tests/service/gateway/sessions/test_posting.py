"""Messages that clients store themselves, at their door: read and refused as by every other route."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.service.gateway.fakes.world import World

PATH = "/api/chat/sessions/s1/messages"
HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
def world() -> World:
    return World()


async def send(world: World, path: str = PATH, method: str = "POST", **request: Any) -> httpx2.Response:
    async with world.client("u1") as client:
        return await client.request(method, path, **request)


async def test_the_next_message_replies_to_the_one_before_and_its_session_is_read_once(world: World) -> None:
    answers = []
    async with world.client("u1") as client:
        for content in ("one", "two", "three"):
            sent = HELLO | {"content": content}
            answers.append(await client.post(PATH, json=sent, headers={"Prefer": "respond-async"}))
            await asyncio.sleep(0)  # in which what follows from the confirm happens
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    said = [answer.json()["message"] for answer in answers]
    assert [each["parent_id"] for each in said] == [None, said[0]["id"], said[1]["id"]]
    assert world.ends_read == 1


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (PATH, {"role": "user"}, ["content"]),
        (PATH, {"role": "robot", "content": 5, "surprise": 1}, ["role", "content", "surprise"]),
        (PATH, HELLO | {"parts": [1]}, ["parts.0"]),
        (PATH, ["hello"], [""]),
        (PATH.replace("s1", "a.b"), {"role": "user"}, ["session_id", "content"]),
        (f"{PATH}?a=1&a=2", HELLO, ["a"]),
    ],
)
async def test_what_is_wrong_is_named(world: World, path: str, body: Any, fields: list[str]) -> None:
    answer = await send(world, path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [each["field"] for each in answer.json()["errors"]] == fields
    assert not world.published


async def test_a_body_is_json_and_a_path_of_ours(world: World) -> None:
    assert (await send(world, content=b"{")).status_code == 422
    assert (await send(world, path=f"{PATH}/more", json=HELLO)).status_code == 404
    other = await send(world, method="PUT", json=HELLO)
    assert (other.status_code, other.headers["allow"]) == (405, "GET, POST")


async def test_nobody_s_message_is_taken_by_a_cookie_s_page_of_another_origin(world: World) -> None:
    async with world.client(None) as client:
        answer = await client.post(PATH, content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
