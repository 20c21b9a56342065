"""Users who talk while everything around them dies, and heal what they see: they take it up, or say it again."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.turns.processes.pair import parts_of
from tests.tokens import token_for

A_CLICK_S = 0.5  # until somebody who sees an error has found the button that says "again"
A_THOUGHT_S = 0.5
HARMLESS = (204, 409, 503)  # nothing runs; or refusals that the same request outlives
SILENT_S = 150.0  # longer than any stream may say nothing but that it lives
SESSION_SAYS = 8
PACES_MS = (0, 100, 600)  # between two of the eight pieces of an answer
TAKE_UPS = 10


@dataclass
class Shown:
    """An answer as one user has it on the screen."""

    answer_id: str = ""
    text: str = ""
    last: str = ""  # the id of the last part
    end: str = ""  # the kind of the closing part: finish, abort or error

    def take(self, name: str, part: dict[str, Any]) -> None:
        if part["type"] == "start":
            self.answer_id = part["messageId"]
        elif part["type"] == "text-delta":
            self.text += part["delta"]
        elif part["type"] in ("finish", "abort", "error"):
            self.end = part["type"]
        self.last = name


@dataclass
class Said:
    """One message that a user has given to the gateways, until one of them had it."""

    user: str
    session: str
    message_id: str
    text: str
    answer: Shown | None = None  # where it is a question, and its answer was seen to its end


@dataclass
class Talk:
    """What all users together have said, and what it took."""

    gateways: Sequence[str]
    settings: Settings
    http: aiohttp.ClientSession
    said: list[Said] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)  # what no user should ever see
    is_over: bool = False

    async def user(self, number: int) -> None:
        """Be a user until it is over; begin another session now and then."""
        user, choose = f"user {number}", random.Random(number)
        while not self.is_over:
            session = f"s{new_id().hex}"
            for says in range(SESSION_SAYS):
                if self.is_over and says:
                    break
                message = Said(user, session, f"m{new_id().hex}", f"{number} says {new_id().hex}")
                if says and choose.random() < 0.2:
                    await self._store(message, choose)
                else:
                    await self._ask(message, choose)
                self.said.append(message)
                await asyncio.sleep(A_THOUGHT_S)

    async def recall(self, user: str, session: str) -> list[str]:
        """Ask for what the model is told that this user has said."""
        body = {"session_id": session, "message": "[recall]", "stream": False}
        async with self.http.post(f"{self.gateways[0]}/api/chat", json=body, headers=self.headers(user)) as response:
            answer = await response.json()
            assert response.status == 200, answer
            told: list[str] = orjson.loads(answer["message"]["content"])
            return told[:-1]

    async def _store(self, message: Said, choose: random.Random) -> None:
        """Store a message as a client does that keeps its own, with the same key until it is accepted."""
        path = f"/api/chat/sessions/{message.session}/messages"
        body = {"role": "user", "id": message.message_id, "content": message.text}
        while True:
            try:
                headers = self.headers(message.user) | {"Idempotency-Key": message.message_id}
                async with self.http.post(choose.choice(self.gateways) + path, json=body, headers=headers) as response:
                    if response.status in (200, 201, 202):
                        self.counts["messages stored by clients"] += 1
                        return
                    await self.refused(response)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.cut(error)
            await self.again()

    async def _ask(self, message: Said, choose: random.Random) -> None:
        """Ask until an answer is seen to its end."""
        message.text = f"[chunks 8] [slow {choose.choice(PACES_MS)}] [echo an answer to {message.text}]"
        stops = choose.random() < 0.1
        while True:
            shown = Shown()
            try:
                await self._post(message, shown, choose, stops=stops)
                if shown.last and not shown.end:
                    self.counts["answers cut in the middle"] += 1
                    await self._take_up(message, shown, choose)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.cut(error)
            if shown.end in ("finish", "abort"):
                message.answer = shown
                self.counts["turns stopped" if shown.end == "abort" else "turns seen whole"] += 1
                return
            await self.again()

    async def _post(self, message: Said, shown: Shown, choose: random.Random, *, stops: bool) -> None:
        parts = [{"type": "text", "text": message.text}]
        body = {"id": message.session, "messages": [{"id": message.message_id, "role": "user", "parts": parts}]}
        url = f"{choose.choice(self.gateways)}/api/chat"
        async with self.http.post(url, json=body, headers=self.headers(message.user)) as response:
            if response.status != 200:
                await self.refused(response)
                return
            try:
                async for name, part in parts_of(response):
                    shown.take(name, part)
                    if stops and part["type"] == "text-delta":
                        stops = False
                        await self._stop(message, choose)
            except (aiohttp.ClientError, TimeoutError) as error:
                self.cut(error)

    async def _stop(self, message: Said, choose: random.Random) -> None:
        url = f"{choose.choice(self.gateways)}/api/chat/{message.session}/stop"
        try:
            async with self.http.post(url, headers=self.headers(message.user)) as response:
                if response.status != 200:
                    await self.refused(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.cut(error)

    async def _take_up(self, message: Said, shown: Shown, choose: random.Random) -> None:
        """Read on at whichever gateway answers; give it up where that breaks off, or nothing runs any more."""
        for _ in range(TAKE_UPS):
            await asyncio.sleep(A_CLICK_S)
            with suppress(aiohttp.ClientConnectorError):
                await self._read_on(message, shown, choose)
                return

    async def _read_on(self, message: Said, shown: Shown, choose: random.Random) -> None:
        """Read on after the last part, as a browser's event source does, or all of it, as `useChat` does."""
        headers, so_far = self.headers(message.user), shown.text
        if choose.random() < 0.5:
            headers["Last-Event-ID"] = shown.last
        else:
            so_far = ""
        url = f"{choose.choice(self.gateways)}/api/chat/{message.session}/stream"
        async with self.http.get(url, headers=headers) as response:
            if response.status != 200:
                await self.refused(response)
                return
            shown.text = so_far
            async for name, part in parts_of(response):
                shown.take(name, part)
            self.counts[f"streams taken up until {shown.end or 'cut'}"] += 1

    def headers(self, user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token_for(self.settings, user)}"}

    async def again(self) -> None:
        self.counts["retries"] += 1
        await asyncio.sleep(A_CLICK_S)

    async def refused(self, response: aiohttp.ClientResponse) -> None:
        what = response.url.path.rpartition("/")[2]
        self.counts[f"{response.status} to {response.method} {what}"] += 1
        if response.status not in HARMLESS:
            self.odd.append(f"{response.method} {response.url.path}: {response.status} {await response.text()}")

    def cut(self, error: BaseException) -> None:
        self.counts["connections cut or refused"] += 1
        if isinstance(error, TimeoutError):
            self.odd.append(f"silent for {SILENT_S} s")
