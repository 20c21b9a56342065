"""Where the running stack is, and a client for each side of it: the broker's user, the simulator."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import jwt

from deploy.demo.errors import DemoError

PATIENCE_S = 20.0

T = TypeVar("T")


@dataclass(frozen=True)
class Stack:
    """What the demo needs to know of a running stack."""

    url: str
    avinode_url: str
    jwt_secret: str
    amqp_url: str
    database_url: str

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Stack":
        """Read `.run/env`.

        Raises:
            DemoError: Nothing is running, or not with the sandbox.
        """
        names = ("TRIPTHREAD_URL", "AVINODE_SANDBOX_URL", "JWT_SECRET", "AMQP_URL", "DATABASE_URL")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise DemoError(f"no stack is running here (no {', '.join(missing)}): start one with ./run up --detach")
        return cls(*(environment[name] for name in names))

    def token_for(self, user: str) -> str:
        """Sign a token as the product's login would."""
        return jwt.encode({"sub": user, "role": "user", "exp": int(time.time()) + 3600}, self.jwt_secret, "HS256")


class Client:
    """JSON over HTTP with one set of credentials."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def call(self, method: str, path: str, body: Any = None, *, missing: Any = None) -> Any:
        """Return what the call answers; `missing` where it answers 404 or nothing.

        Raises:
            DemoError: It answers with another error.
        """
        async with self._http.request(method, self._url + path, json=body, headers=self._headers) as response:
            text = await response.text()
            if response.status in (204, 404):
                return missing
            if response.status >= 400:
                raise DemoError(f"{method} {path} answered {response.status}: {text[:300]}")
            return json.loads(text)

    async def stream(self, path: str, body: Any) -> AsyncIterator[dict[str, Any]]:
        """Yield the parts of an AI SDK UI message stream as they come."""
        async with self._http.post(self._url + path, json=body, headers=self._headers) as response:
            if response.status != 200:
                raise DemoError(f"POST {path} answered {response.status}: {(await response.text())[:300]}")
            async for line in response.content:
                if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                    yield json.loads(line.removeprefix(b"data: "))


@asynccontextmanager
async def open_http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        yield http


async def until(look: Callable[[], Awaitable[T]], found: Callable[[T], bool], what: str) -> T:
    """Look until it is there, and return it.

    Raises:
        DemoError: It is not there in time.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = await look()
        if found(seen):
            return seen
        if time.monotonic() > deadline:
            raise DemoError(f"waited {PATIENCE_S:.0f} s for {what}, and saw {seen}")
        await asyncio.sleep(0.1)
