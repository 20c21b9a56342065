"""Talk as many users do: each in sessions of five turns, one question after the other, on so many connections."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any, Protocol

import aiohttp

from tests.bench.workload.load import QUESTION, TURNS

LONGEST_S = 120.0  # for one answer


class Talker(Protocol):
    """Somebody who asks in one session, and then in the next one, as another user."""

    async def ask(self, http: aiohttp.ClientSession) -> float:
        """Ask a question, read the whole answer, and return the seconds to its first piece."""
        ...


@dataclass(frozen=True)
class Talk:
    """What came of so many turns."""

    turns: int
    seconds: float
    first_piece_s: list[float]

    @property
    def turns_per_s(self) -> float:
        return self.turns / self.seconds

    @property
    def first_piece_p50_ms(self) -> float:
        return median(self.first_piece_s) * 1000


class ChatTalker:
    """A user of `POST /api/chat`: the first question of a session begins it, the others continue it."""

    def __init__(self, url: str, tokens: Iterator[str]) -> None:
        self._url = f"{url}/api/chat"
        self._tokens = tokens
        self._headers: dict[str, str] = {}
        self._session_id: str | None = None
        self._turns = 0

    async def ask(self, http: aiohttp.ClientSession) -> float:
        if self._turns % TURNS == 0:
            self._headers, self._session_id = {"Authorization": f"Bearer {next(self._tokens)}"}, None
        self._turns += 1
        body = {"message": QUESTION} | ({"session_id": self._session_id} if self._session_id else {})
        async with _asked(http, self._url, self._headers, body) as (answer, began):
            self._session_id = answer.headers["X-Session-Id"]
            first, said = await _read(answer, b'"text-delta"')
        assert b'"type":"finish"' in said, f"an answer without its end: {said[-500:]!r}"
        return first - began


class CompletionTalker:
    """A user of `POST /v1/chat/completions`, who sends the whole conversation with each question."""

    def __init__(
        self, url: str, headers: dict[str, str], *, tokens: Iterator[str] | None = None, streams: bool = True
    ) -> None:
        """Talk with these headers, as another user in each session where there are `tokens`."""
        self._url = f"{url}/v1/chat/completions"
        self._headers = headers
        self._tokens = tokens
        self._streams = streams
        self._messages: list[dict[str, str]] = []
        self._turns = 0

    async def ask(self, http: aiohttp.ClientSession) -> float:
        if self._turns % TURNS == 0:
            self._messages = [{"role": "system", "content": "You are a charter broker's assistant."}]
            if self._tokens is not None:
                self._headers = {"Authorization": f"Bearer {next(self._tokens)}"}
        self._turns += 1
        self._messages.append({"role": "user", "content": QUESTION})
        body = {"model": "bench", "stream": self._streams, "messages": self._messages}
        async with _asked(http, self._url, self._headers, body) as (answer, began):
            first, said = await _read(answer, b'"content":"a' if self._streams else b"a light jet")
        assert (b"[DONE]" if self._streams else b'"stop"') in said, f"an answer without its end: {said[-500:]!r}"
        self._messages.append({"role": "assistant", "content": "a light jet " * 20})
        return first - began


@asynccontextmanager
async def _asked(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str], body: dict[str, Any]
) -> AsyncIterator[tuple[aiohttp.ClientResponse, float]]:
    began = time.monotonic()
    async with http.post(url, headers=headers, json=body) as answer:
        assert answer.status == 200, f"{answer.status}: {await answer.text()}"
        yield answer, began


async def _read(answer: aiohttp.ClientResponse, first_piece: bytes) -> tuple[float, bytes]:
    """Return when the first piece was there, and all that came."""
    said, first = bytearray(), 0.0
    async for data in answer.content.iter_any():
        said += data
        if not first and first_piece in said:
            first = time.monotonic()
    assert first, f"an answer without a piece: {bytes(said)!r}"
    return first, bytes(said)


async def talk(talkers: list[Talker], turns: int) -> Talk:
    """Let each talker ask on a connection of its own until so many turns are begun."""
    numbers, first_pieces = count(), list[float]()

    async def converse(talker: Talker) -> None:
        while next(numbers) < turns:
            first_pieces.append(await talker.ask(http))

    # Nobody's cookie is another's: the session's would continue it.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=LONGEST_S),
    ) as http:
        began = time.monotonic()
        async with asyncio.TaskGroup() as talking:
            for talker in talkers:
                talking.create_task(converse(talker))
        return Talk(len(first_pieces), time.monotonic() - began, first_pieces)
