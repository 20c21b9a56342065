"""A model's service as a bare socket, which says byte for byte what a test wants it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.turn import Answer
from shared.backoff import Delays
from shared.settings import Settings
from tests.pure.gateway.samples import turn
from tests.waiting import PATIENCE_S

EACH_S = 0.01  # between two signs of life


@dataclass(frozen=True)
class Reply:
    """What it answers a request with."""

    body: Sequence[bytes] = ()  # as many pieces as writes
    status: int = 200
    headers: Sequence[str] = ("Content-Type: text/event-stream",)
    forever: bytes | None = None  # what comes after the body again and again until the caller leaves; empty: nothing
    cut: bool = False  # the connection breaks where the body should end


@dataclass
class StandIn:
    answer: Callable[[dict[str, Any]], Reply]
    requests: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def asked(self) -> int:
        return len(self.requests)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def settings(self, **changes: Any) -> Settings:
        return Settings(_env_file=None, openai_base_url=self.url, **changes)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            self.heads.append(head)
            self.requests.append(json.loads(await reader.readexactly(length)))
            await self._reply(self.answer(self.requests[-1]), reader, writer)
        writer.close()

    async def _reply(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = [
            f"HTTP/1.1 {reply.status} So",
            *reply.headers,
            "Transfer-Encoding: chunked",
            "Connection: close",
            "",
            "",
        ]
        writer.write("\r\n".join(head).encode())
        for piece in reply.body:
            await _write(writer, piece)
        if reply.forever is not None:
            await _go_on(reply.forever, reader, writer)
        if not reply.cut:
            writer.write(b"0\r\n\r\n")
            await writer.drain()


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    await writer.drain()


async def _go_on(sign: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    leaving = asyncio.ensure_future(reader.read())
    while not leaving.done():
        if sign:
            await _write(writer, sign)
        await asyncio.wait({leaving}, timeout=EACH_S if sign else None)


@asynccontextmanager
async def standing_in(answer: Callable[[dict[str, Any]], Reply] | Reply) -> AsyncIterator[StandIn]:
    service = StandIn(answer if callable(answer) else lambda _request: answer)
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
        service.port = server.sockets[0].getsockname()[1]
        yield service


def at_once() -> Delays:
    """Let nobody wait between two calls."""
    return Delays(first_s=0, longest_s=0)


async def answered(service: StandIn, messages: Sequence[dict[str, Any]] = (), **changes: Any) -> Answer:
    """Ask it once, as a turn does."""
    async with open_upstreams(service.settings(**changes), at_once) as upstreams, asyncio.timeout(PATIENCE_S):
        return await Answering(upstreams, TurnBuffer(turn())).run(messages)


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


DONE = b"data: [DONE]\n\n"
HI = chunk(content="hi")
STOP = chunk("stop")
