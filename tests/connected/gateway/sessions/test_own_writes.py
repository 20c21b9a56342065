"""Whoever writes at one gateway reads it at another: fifty who do all of it at once."""

import asyncio
from typing import Any

from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.sessions.test_creating import PATH, create, somebody
from tests.connected.gateway.stage import Stage

PAIRS = 50


async def call(stage: Stage, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = await stage.http.request(method, path, json=body, headers=stage.as_user(user))
    return answer.status_code, answer.json()


async def test_fifty_see_their_own_writes_at_another_gateway(gateways: Two) -> None:
    async def write_and_read(number: int) -> None:
        user = somebody()
        here, there = (gateways.here, gateways.there) if number % 2 else (gateways.there, gateways.here)
        status, session = await create(here, user, title=f"t{number}")
        assert status == 201
        path = f"{PATH}/{session['id']}"
        assert (await call(there, user, "GET", path))[1]["session"]["title"] == f"t{number}"
        assert (await call(here, user, "PATCH", path, {"title": "new", "pinned": True}))[0] == 200
        _, shown = await call(there, user, "GET", path)
        assert (shown["session"]["title"], shown["session"]["pinned"]) == ("new", True)
        status, _ = await call(here, user, "POST", f"{path}/messages", {"role": "user", "content": f"m{number}"})
        assert status == 201
        _, page = await call(there, user, "GET", f"{path}/messages")
        assert [(said["content"], said["stored"]) for said in page["messages"]] == [(f"m{number}", True)]
        assert (await call(here, user, "DELETE", path))[0] == 200
        assert (await call(there, user, "GET", path))[0] == 404
        assert (await call(there, user, "GET", PATH))[1]["sessions"] == []

    await asyncio.gather(*map(write_and_read, range(PAIRS)))
