"""Listen to `GET /api/events` as a browser does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import aiohttp

from tests.processes import Process
from tests.tokens import token_for
from tests.waiting import PATIENCE_S


class Event(NamedTuple):
    name: str
    session_id: str | None
    changed: list[str]
    id: str


class Stream:
    """One stream, event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def begun(self) -> None:
        """Read as far as the first id."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.last_id:
                self._note(await self._line())

    async def next(self, within_s: float = PATIENCE_S) -> Event | None:
        """Wait for the next event; None is the end of the stream."""
        name, data = "", None
        async with asyncio.timeout(within_s):
            while (line := await self._line()) is not None:
                self._note(line)
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                elif not line and data is not None:
                    return Event(name, data["session_id"], data["changed"], self.last_id)
        return None

    async def until(self, name: str, session_id: str | None, within_s: float = PATIENCE_S) -> Event:
        """Read on to the first event of this name and session."""
        async with asyncio.timeout(within_s):
            while (event := await self.next()) is not None:
                if (event.name, event.session_id) == (name, session_id):
                    return event
        raise AssertionError(f"the stream ended without {name}")

    async def all(self, for_s: float) -> list[Event]:
        """Read so long, and return what came."""
        came: list[Event] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                while (event := await self.next()) is not None:
                    came.append(event)
        return came

    def _note(self, line: str | None) -> None:
        if line is not None and line.startswith("id: "):
            self.last_id = line.removeprefix("id: ")

    async def _line(self) -> str | None:
        line = await self.response.content.readline()
        return line.decode().rstrip("\n") if line else None


@asynccontextmanager
async def listening(
    gateway: Process,
    user: str = "ann",
    *,
    expires_in_s: int = 600,
    after: str = "",
    projects: Sequence[str] | None = None,
    port: int | None = None,
) -> AsyncIterator[Stream]:
    """Open a stream at a gateway, or by the port of a proxy before it."""
    settings = gateway.settings
    token = token_for(settings, user, expires_in_s=expires_in_s, projects=projects)
    url = f"http://127.0.0.1:{port or settings.http_port}/api/events"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http,
        http.get(
            url, headers={"Authorization": f"Bearer {token}", **({"Last-Event-ID": after} if after else {})}
        ) as response,
    ):
        assert response.status == 200, await response.text()
        stream = Stream(response)
        await stream.begun()
        yield stream


async def say(
    gateway: Process, session: str, user: str = "ann", text: str = "[echo hello]", **more: Any
) -> dict[str, Any]:
    """Have one turn."""
    settings = gateway.settings
    body = {"session_id": session, "message": text, "stream": False, **more}
    headers = {"Authorization": f"Bearer {token_for(settings, user)}"}
    url = f"http://127.0.0.1:{settings.http_port}/api/chat"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        said: dict[str, Any] = await response.json()
        return said
