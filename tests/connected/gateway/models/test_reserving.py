"""Sessions that are reserved with their tags, by real services beside a simulated model."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.settings import Settings
from tests.processes import Process, running
from tests.simulated import Simulated, simulated
from tests.tokens import token_for
from tests.waiting import PATIENCE_S, until

BATCHES = "/api/analytics/session-tags"
SESSIONS = "/api/chat/sessions"
SMALL, LARGE = "sandbox-small", "sandbox-large"


class Site:
    def __init__(self, settings: Settings, processes: dict[str, Process], http: aiohttp.ClientSession) -> None:
        self.settings = settings
        self.processes = processes
        self._http = http

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.settings.http_port}{path}"
        token = {"Authorization": f"Bearer {token_for(self.settings, 'ann')}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._http.request(method, url, json=body, headers=token | named) as response:
            return response.status, await response.json() if response.status != 204 else None

    async def reserve(self, count: int, key: str, prefer: str = "", **fields: Any) -> tuple[int, list[dict[str, Any]]]:
        wanted = {"model": SMALL, "count": count, **fields}
        status, body = await self.call("POST", BATCHES, wanted, Idempotency_Key=key, Prefer=prefer)
        return status, body["session_tags"]

    async def chat(self, session_id: str, model: str) -> None:
        body = {"session_id": session_id, "message": "Hello", "model": model, "stream": False}
        assert (await self.call("POST", "/api/chat", body))[0] == 200

    async def session(self, session_id: str) -> dict[str, Any]:
        status, body = await self.call("GET", f"{SESSIONS}/{session_id}")
        assert status == 200, body
        session: dict[str, Any] = body["session"]
        return session

    async def listed(self) -> set[str]:
        _, body = await self.call("GET", SESSIONS)
        return {session["id"] for session in body["sessions"]}

    async def stored(self, session_id: str) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            session = await self.session(session_id)
            return session if session["stored"] else None

        return await until(look, "the session")

    async def tracked(self) -> bool:
        _, body = await self.call("GET", "/api/models")
        return {SMALL, LARGE} <= {model["name"] for model in body["models"]}


@pytest.fixture
async def site(settings: Settings, tmp_path: Path) -> AsyncIterator[Site]:
    outside: Simulated
    async with (
        simulated(settings.model_copy(update={"stored_wait_s": PATIENCE_S})) as outside,
        running(outside.settings, tmp_path, "logger", "tagger") as consumers,
        running(outside.settings, tmp_path, "gateway") as gateways,
        aiohttp.ClientSession() as http,
    ):
        site = Site(outside.settings, consumers | gateways, http)
        await until(site.tracked, "the models")
        yield site


async def test_reserved_sessions_are_used_deleted_and_told_apart(site: Site) -> None:
    status, tags = await site.reserve(3, "k", experiment_name="blue")
    assert (status, [tag["counter"] for tag in tags]) == (201, [1, 2, 3])
    kept, mixed, gone = (tag["session_id"] for tag in tags)
    assert await site.listed() == set()
    first = await site.session(kept)
    assert (first["session_tag"], first["experiment_name"], first["message_count"]) == (
        tags[0]["session_tag"],
        "blue",
        0,
    )

    await site.chat(kept, SMALL)
    await site.chat(mixed, LARGE)
    for session_id, is_mixed in ((kept, False), (mixed, True)):
        session = await site.stored(session_id)
        assert (session["mixed"], session["experiment_name"]) == (is_mixed, "blue")
    assert (await site.session(mixed))["session_tag"] == tags[1]["session_tag"]
    assert await site.listed() == {kept, mixed}

    assert (await site.call("DELETE", f"{SESSIONS}/{gone}"))[0] in (200, 202)
    assert (await site.call("GET", f"{SESSIONS}/{gone}"))[0] == 404
    await site.chat("other", SMALL)
    status, tag = await site.call("GET", f"{SESSIONS}/other/tag?wait=10")
    assert (tag["counter"], tag["experiment_name"]) == (4, SMALL)
    status, again = await site.reserve(3, "k", experiment_name="blue")
    assert (status, again) == (200, [*tags[:2], {"session_id": gone, "session_tag": None, "counter": None}])


async def test_what_people_set_of_a_reserved_session_lists_it(site: Site) -> None:
    _, [tag] = await site.reserve(1, "k")
    status, body = await site.call("PATCH", f"{SESSIONS}/{tag['session_id']}", {"title": "Mine"})
    assert (status, body["session"]["title"], body["session"]["session_tag"]) == (200, "Mine", tag["session_tag"])
    assert await site.listed() == {tag["session_id"]}


async def test_tagger_away_the_sessions_can_be_used_and_have_their_tags_later(site: Site) -> None:
    await site.processes["tagger"].stop()
    status, waiting = await site.reserve(2, "k", prefer="respond-async")
    assert (status, [tag["session_tag"] for tag in waiting]) == (202, [None, None])
    await site.chat(waiting[1]["session_id"], SMALL)
    await site.processes["tagger"].start()

    async def reserved() -> list[dict[str, Any]] | None:
        status, tags = await site.reserve(2, "k")
        return tags if status == 200 else None

    tags = await until(reserved, "the tags")
    assert [tag["session_id"] for tag in tags] == [tag["session_id"] for tag in waiting]
    assert [tag["counter"] for tag in tags] == [1, 2]
    assert (await site.stored(tags[1]["session_id"]))["mixed"] is False
