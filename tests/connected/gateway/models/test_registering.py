"""What a gateway's start makes of the models that it is configured with, by real services beside a simulated model."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from shared.settings import Settings
from tests.processes import Process, running
from tests.simulated import simulated
from tests.tokens import token_for
from tests.waiting import until


@dataclass
class Site:
    settings: Settings
    gateway: Process
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, *, role: str = "user") -> Any:
        url = f"http://127.0.0.1:{self.settings.http_port}{path}"
        headers = {"Authorization": f"Bearer {token_for(self.settings, 'newcomer', role=role)}"}
        async with self.http.request(method, url, json=body, headers=headers) as response:
            assert response.ok, await response.text()
            text = await response.text()
            return json.loads(text) if text else None

    async def tag_of_chat(self, session: str, wait_s: int = 10, **fields: str) -> Any:
        """Hold one chat, and return its session's tag, where it has one by then."""
        await self.call("POST", "/api/chat", {"session_id": session, "message": "Hello", "stream": False, **fields})
        stored = f"/api/chat/sessions/{session}/messages"

        async def is_stored() -> bool:
            return all(message["stored"] for message in (await self.call("GET", stored))["messages"])

        await until(is_stored, "the messages")
        return await self.call("GET", f"/api/chat/sessions/{session}/tag?wait={wait_s}")

    async def tracked(self) -> dict[str, bool]:
        models = (await self.call("GET", "/api/models"))["models"]
        return {model["name"]: model["tracked"] for model in models}


@pytest.fixture
async def site(settings: Settings, tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        simulated(settings) as outside,
        running(outside.settings, tmp_path, "logger", "tagger"),
        running(outside.settings, tmp_path, "gateway") as processes,
        aiohttp.ClientSession() as http,
    ):
        yield Site(outside.settings, processes["gateway"], http)


async def all_known(site: Site) -> None:
    async def look() -> bool:
        return (await site.tracked()).keys() >= {"sandbox-small", "sandbox-large"}

    await until(look, "the models that the service lists")


async def test_newcomers_first_chat_has_its_tag(site: Site) -> None:
    tag = await site.tag_of_chat("first")
    assert (tag["model_name"], tag["counter"]) == ("sandbox-small", 1)

    await all_known(site)
    tag = await site.tag_of_chat("second", model="sandbox-large")
    assert (tag["model_name"], tag["counter"]) == ("sandbox-large", 1)


async def test_model_that_is_first_seen_in_a_turn_tags_it_where_that_is_wanted(
    settings: Settings, tmp_path: Path
) -> None:
    async with (
        simulated(settings.model_copy(update={"track_new_models": True})) as outside,
        running(outside.settings, tmp_path, "logger", "tagger"),
        running(outside.settings, tmp_path, "gateway") as processes,
        aiohttp.ClientSession() as http,
    ):
        site = Site(outside.settings, processes["gateway"], http)
        tag = await site.tag_of_chat("first", model="sandbox-unheard-of")
    assert (tag["model_name"], tag["counter"]) == ("sandbox-unheard-of", 1)


async def test_model_that_an_administrator_untracked_stays_so_when_the_gateway_starts_again(
    site: Site, owner: asyncpg.Connection
) -> None:
    await all_known(site)
    await site.call("POST", "/api/models", {"name": "sandbox-small", "tracked": False}, role="admin")

    await site.gateway.stop()
    await owner.execute("DELETE FROM tagging.models WHERE name = 'sandbox-large'")
    await site.gateway.start()
    await all_known(site)

    assert await site.tag_of_chat("first", wait_s=2) is None
    assert await site.tracked() == {"sandbox-small": False, "sandbox-large": True}
