"""Two gateways as processes, on one database, broker and model stand-in."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from deploy.supervisor.machine.ports import free_port
from shared.settings import Settings
from tests.processes import Process
from tests.tokens import token_for
from tests.waiting import until_true

Parts = list[tuple[str, dict[str, Any]]]  # each with its id


@dataclass
class Pair:
    """Two gateways on one database, broker and model."""

    here: Process
    there: Process
    http: aiohttp.ClientSession
    model: str
    token_lasts_s: int = 600

    def url(self, gateway: Process, path: str) -> str:
        return f"http://127.0.0.1:{gateway.settings.http_port}{path}"

    def headers(self, user: str = "ann", **more: str) -> dict[str, str]:
        token = token_for(self.here.settings, user, expires_in_s=self.token_lasts_s)
        return {"Authorization": f"Bearer {token}", **more}

    @asynccontextmanager
    async def chat(
        self, gateway: Process, session: str, text: str, **body: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and have the response while it comes."""
        asked = {"session_id": session, "message": text, **body}
        url = self.url(gateway, "/api/chat")
        async with self.http.post(url, json=asked, headers=self.headers()) as response:
            yield response

    async def stream(
        self, gateway: Process, session: str, after: str = "", user: str = "ann", begun: asyncio.Event | None = None
    ) -> tuple[int, Parts]:
        """Follow the session's turn to its end; `begun` is set once something of it has come."""
        headers = self.headers(user, **({"Last-Event-ID": after} if after else {}))
        url = self.url(gateway, f"/api/chat/{session}/stream")
        parts: Parts = []
        async with self.http.get(url, headers=headers) as response:
            if response.status == 200:
                async for each in parts_of(response):
                    parts.append(each)
                    if begun is not None:
                        begun.set()
            return response.status, parts

    async def following(self, gateway: Process, session: str) -> "asyncio.Task[tuple[int, Parts]]":
        """Begin to follow the session's turn, and return when something of it has come."""
        begun = asyncio.Event()
        task = asyncio.create_task(self.stream(gateway, session, begun=begun))
        await until_true(lambda: begun.is_set() or task.done())
        return task

    async def stop(self, gateway: Process, session: str, user: str = "ann") -> tuple[int, Any]:
        url = self.url(gateway, f"/api/chat/{session}/stop")
        async with self.http.post(url, headers=self.headers(user)) as response:
            return response.status, await response.json() if response.status == 200 else None

    async def messages(self, gateway: Process, session: str) -> list[dict[str, Any]]:
        url = self.url(gateway, f"/api/chat/sessions/{session}/messages")
        async with self.http.get(url, headers=self.headers()) as response:
            messages: list[dict[str, Any]] = (await response.json())["messages"]
            return messages

    async def asked(self) -> int:
        """Count the calls of the model."""
        async with self.http.get(f"{self.model}/sim/requests") as response:
            return len((await response.json())["requests"])


async def parts_of(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield the parts of a UI message stream, as they come."""
    name = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("id: "):
            name = line.removeprefix("id: ")
        elif line.startswith("data: {"):
            yield name, json.loads(line.removeprefix("data: "))


def text_of(parts: Parts) -> str:
    return "".join(part["delta"] for _, part in parts if part["type"] == "text-delta")


async def first_words(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """Wait until the answer has begun; return the id and the text of its first piece."""
    async for name, part in parts_of(response):
        if part["type"] == "text-delta":
            return name, part["delta"]
    raise AssertionError("no text came")


@asynccontextmanager
async def open_pair(
    settings: Settings,
    logs: Path,
    *,
    environment_there: Mapping[str, str] | None = None,
    told_here: Mapping[str, Any] | None = None,
) -> AsyncIterator[Pair]:
    """Start both; `told_here` are settings of the first one alone."""
    async with serving(SandboxSettings(llm_port=0, avinode_port=0)) as sandbox, aiohttp.ClientSession() as http:
        told = settings.model_copy(update={"openai_base_url": f"{sandbox.model}/v1"})
        here, there = (
            Process(
                "gateway", told.model_copy(update={"http_port": free_port(), **own}), Path(logs, f"{name}.log"), more
            )
            for name, own, more in (("here", told_here or {}, None), ("there", {}, environment_there))
        )
        try:
            await asyncio.gather(here.start(), there.start())
            yield Pair(here, there, http, sandbox.model)
        finally:
            await asyncio.gather(here.stop(), there.stop())
