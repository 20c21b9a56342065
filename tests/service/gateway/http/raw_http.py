"""The real public server on uvloop, as it runs, and callers who write to it whatever they like."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.supervisor.machine.ports import free_port
from services.gateway.http.answers.problems import problem_response
from services.gateway.http.edge.middleware import Edge
from services.gateway.http.server.worker import PublicServer
from shared.errors import TripthreadError
from shared.settings import Settings
from tests.waiting import PATIENCE_S, until_true

LARGE = 16_000_000


class App:
    """Answers by path, else with the length of the body.

    `/hold` answers in two pieces, the second when it is told to, and `/watch` as well, looking for more of the request
    all the time; `/late` reads its body when it is told to, `/early` never; `/large` answers with 16 MB, `/pieces` with
    as much in a thousand, and `/broken` with half an answer.
    """

    def __init__(self) -> None:
        self.requests: list[Scope] = []
        self.disconnected = 0
        self.looks = 0
        self.pieces = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._released = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self.requests.append(scope)
        if scope["path"] == "/late":
            await self._released.wait()
        if scope["path"] == "/early":
            await self._answer(send, 401, b"early")
            return
        try:
            body = await self._body(receive)
        except TripthreadError as error:
            await problem_response(error)(scope, receive, send)
            return
        if body is None:
            self.disconnected += 1
        elif scope["path"] == "/watch":
            watching = asyncio.create_task(self._watch(receive))
            await self._hold(send)
            await watching
        elif scope["path"] == "/hold":
            await self._hold(send)
        elif scope["path"] == "/large":
            await self._answer(send, 200, b"x" * LARGE)
        elif scope["path"] == "/pieces":
            await self._pieces(send)
        elif scope["path"] == "/broken":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half of it", "more_body": True})
        else:
            await self._answer(send, 200, str(len(body)).encode())

    def release(self) -> None:
        """Let `/hold` send its second piece."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._released.set)

    async def _watch(self, receive: Receive) -> None:
        while not self._released.is_set():
            self.looks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(receive(), 0.01)

    async def _hold(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first,", "more_body": True})
        await self._released.wait()
        await send({"type": "http.response.body", "body": b"second", "more_body": False})

    async def _pieces(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * (LARGE // 1000), "more_body": True})
            self.pieces += 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _body(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message["body"]
            if not message["more_body"]:
                return bytes(body)

    async def _answer(self, send: Send, status: int, body: bytes) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class RawCaller:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def get(self, path: str = "/echo") -> Answer:
        await self.say(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return await self.answer()

    async def head(self) -> Answer:
        """Read an answer as far as its body."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rows = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows if row)}
        return Answer(int(line.split()[1]), headers, b"")

    async def answer(self) -> Answer:
        """Read a whole answer."""
        answer = await self.head()
        answer.body = await self.body_of(answer)
        return answer

    async def body_of(self, answer: Answer) -> bytes:
        """Read what follows the head of an answer."""
        async with asyncio.timeout(PATIENCE_S):
            if "content-length" in answer.headers:
                return await self.reader.readexactly(int(answer.headers["content-length"]))
            if answer.headers.get("transfer-encoding") != "chunked":
                return await self.reader.read()
            body = b""
            while piece := await self.piece():
                body += piece
            return body

    async def piece(self) -> bytes:
        """Read one chunk, empty for the last."""
        async with asyncio.timeout(PATIENCE_S):
            size = int(await self.reader.readline(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def ended(self) -> bytes:
        """Read until the other side has closed the connection, in whatever way, and return what came before."""
        rest = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while data := await self.reader.read(2**16):
                    rest += data
        return rest

    async def is_open(self) -> bool:
        """Tell whether another request is answered."""
        try:
            return (await self.get()).status == 200
        except (ConnectionError, asyncio.IncompleteReadError):
            return False


@dataclass
class Served:
    """An application, as it is reached."""

    port: int
    server: PublicServer
    _callers: list[RawCaller] = field(default_factory=list)

    async def call(self, said: bytes = b"", window: int = 2**20) -> RawCaller:
        """Connect, and say something; about `window` bytes are taken before somebody reads them."""
        connected = socket.socket()
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", self.port))
        caller = RawCaller(*await asyncio.open_connection(sock=connected, limit=window))
        self._callers.append(caller)
        await caller.say(said)
        return caller

    def open_connections(self) -> int:
        return len(self.server.connections)

    async def hang_up(self) -> None:
        for caller in self._callers:
            caller.writer.close()
            with suppress(ConnectionError):
                await caller.writer.wait_closed()


@dataclass
class Serving(Served):
    app: App = field(kw_only=True)
    edge: Edge = field(kw_only=True)

    def connections(self) -> list[Any]:
        """Return the server's side of every open connection."""
        return list(self.server._server.server_state.connections)

    def arrived_bytes(self) -> int:
        """Return how much of what came is in the room for heads and for what waits."""
        return self.server.connections.arrivals.total

    def held_bytes(self) -> int:
        """Return how much of bodies is in the room for them."""
        return self.edge.bodies.held_bytes


@asynccontextmanager
async def serving(**values: object) -> AsyncIterator[Serving]:
    """Serve the application that knows no gateway; leaving takes as long as it takes to end."""
    settings = Settings(_env_file=None, environment="test", http_port=free_port(), **values)  # type: ignore[arg-type]
    app = App()
    edge = Edge(app, settings)
    server = PublicServer(settings, edge)
    served = Serving(settings.http_port, server, app=app, edge=edge)
    async with _running(served):
        try:
            yield served
        finally:
            server.shut_down()
            if app.requests:
                app.release()


@asynccontextmanager
async def serving_api(settings: Settings, api: ASGIApp) -> AsyncIterator[Served]:
    """Serve a gateway's API at the port of its settings."""
    served = Served(settings.http_port, PublicServer(settings, api))
    async with _running(served):
        yield served


@asynccontextmanager
async def _running(served: Served) -> AsyncIterator[None]:
    """Serve in a thread of its own, as a process of its own does."""
    thread = threading.Thread(target=uvloop.run, args=(served.server.run(),), name="public server")
    thread.start()
    try:
        await until_true(lambda: served.server.fault() is None)
        yield
    finally:
        served.server.shut_down()
        await served.hang_up()
        await asyncio.to_thread(thread.join)


def write_all_then_read(port: int, head: bytes, body: bytes) -> bytes:
    """Do as most clients do: nothing is read before all is written."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(head)
        caller.sendall(body)
        answer = b""
        while data := caller.recv(2**16):
            answer += data
        return answer
