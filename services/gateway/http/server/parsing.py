"""A caller's requests, as uvicorn and httptools parse them, with a limit on all that is no body."""

import asyncio
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from services.gateway.http.server.arrivals import HEADER_BYTES, REQUEST_BYTES, weight_of
from services.gateway.http.server.connections import Phase
from services.gateway.http.server.exchange import Exchange, UnframedExchange
from services.gateway.http.server.outlet import Outlet
from shared.errors import HeadTooLarge, Overloaded, Refused, TripthreadError

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

MOST_HEADERS = 200  # each costs many times its bytes
VERSIONS = ("1.0", "1.1")  # the parser knows others, too, of which one has no head and one none of its own
MOST_PIPELINED = 16  # whole requests that wait for the answer to one before them


class Parsing(HttpToolsProtocol):
    """Parses requests, starts the exchange of each in turn, and knows what is incomplete."""

    cycle: Exchange
    pipeline: "deque[tuple[Exchange, ASGI3Application]]"  # type: ignore[assignment]  # ours alone are in it

    def __init__(
        self,
        head_bytes: int,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = head_bytes
        self._unparsed = 0  # bytes of which nothing came yet but a longer head, trailer or chunk header
        self._head_held = 0  # bytes that came of the incomplete head, at most
        self.incomplete: Phase | None = None  # the part of a request that is: HEAD or BODY
        self.came = 0  # bytes after the head of the request that is being parsed
        self._has_wrong_version = self._has_wrong_host = False  # the head that is whole
        self._finds_no_room = False  # for it
        self.moved = False  # something came for which the caller has a new deadline
        self.deaf = False  # what comes is not parsed any more
        self.answering: Exchange | None = None
        self.outlet: Outlet

    @abstractmethod
    def refuse(self, error: TripthreadError) -> None:
        """Take no other request, and say why."""

    @abstractmethod
    def has_room(self, size: int) -> bool:
        """Tell whether a head of so many bytes may be held."""

    @abstractmethod
    def count(self) -> None:
        """Note that what is held has changed."""

    @property
    def unanswered(self) -> Exchange | None:
        """The exchange whose answer is not complete, if there is one."""
        exchange = self.answering
        return None if exchange is None or exchange.response_complete or exchange.disconnected else exchange

    @property
    def held_bytes(self) -> int:
        """How much of what came is held here, about: of the request that is answered, those that wait, and a head."""
        held = 0
        exchange = self.unanswered
        if exchange is not None:
            held = exchange.held_bytes
            for waiting, _ in self.pipeline:
                held += waiting.held_bytes + REQUEST_BYTES
        if self.incomplete is Phase.HEAD:
            held += self._head_held + len(self.headers) * HEADER_BYTES
        return held

    def data_received(self, data: bytes) -> None:
        if self.incomplete is Phase.BODY:
            self.came += len(data)
        while data and not self.deaf:
            room = self._head_bytes - self._unparsed
            piece, rest = (data, b"") if len(data) <= room else (data[:room], data[room:])
            data = self._parse(piece) + rest
            if self._unparsed >= self._head_bytes:
                self.refuse(HeadTooLarge(f"The head of a request may have at most {self._head_bytes} bytes."))

    def _parse(self, piece: bytes) -> bytes:
        """Feed the parser, and return what it left."""
        self._unparsed += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            return self._head_without_upgrade() + piece[upgrade.args[0] :]
        except httptools.HttpParserError:
            self.refuse(self._fault())
        if self.incomplete is Phase.HEAD:
            self._head_held += len(piece)
        return b""

    def _fault(self) -> TripthreadError:
        """Tell what is wrong with what the parser has just stopped at."""
        if self.incomplete is Phase.HEAD and len(self.headers) >= MOST_HEADERS:
            return HeadTooLarge()
        if self._has_wrong_version:
            return Refused("This is not HTTP/1.1, nor HTTP/1.0.")
        if self._has_wrong_host:
            return Refused("A request has one Host.")
        if self.incomplete is Phase.HEAD and self._finds_no_room:
            return Overloaded()
        return Refused("This is not HTTP.")

    def _names_one_host(self, version: str) -> bool:
        """Tell whether a head is as RFC 9112, 3.2, has it: a proxy may have gone by another one."""
        hosts = [name for name, _ in self.headers].count(b"host")
        return hosts == 1 or (hosts == 0 and version == "1.0")

    def _head_without_upgrade(self) -> bytes:
        """Spell the head that was just read as one that asks for no other protocol.

        The parser takes whatever follows such a head for that protocol, a body too; but a server may ignore the wish
        (RFC 9110, section 7.8), as this one does. WebSockets ask so, and Java's HttpClient, by default, for HTTP/2.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":  # which is such a wish by itself
            self.refuse(Refused("This is no proxy."))
            return b""
        line = b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())
        rows = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        # Another one, since after a head that also says `Connection: close` this one heeds nothing.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return b"\r\n".join([line, *rows, b"", b""])

    def _should_upgrade(self) -> bool:
        return False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.incomplete = Phase.HEAD
        self._head_held = 0
        self.moved = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.incomplete is not Phase.HEAD:
            return  # nobody reads trailers
        if len(self.headers) >= MOST_HEADERS:
            raise OverflowError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MOST_PIPELINED:
            raise OverflowError
        version = self.parser.get_http_version()
        self._has_wrong_version = version not in VERSIONS
        self._has_wrong_host = not self._names_one_host(version)
        if self._has_wrong_version or self._has_wrong_host:
            raise OverflowError
        if self.parser.should_upgrade():
            return  # it comes again, see `_head_without_upgrade`
        weight = weight_of(self.url, self.headers)
        if not self.has_room(weight):
            self._finds_no_room = True
            raise OverflowError
        self.cycle = self._exchange(weight, version)
        self.incomplete = Phase.BODY
        self._unparsed = self.came = 0
        self.moved = True
        if self.unanswered is None:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _exchange(self, weight: int, version: str) -> Exchange:
        self._complete_scope(version)
        return (UnframedExchange if version == "1.0" else Exchange)(
            weight,
            self.count,
            scope=self.scope,
            transport=cast(asyncio.Transport, self.outlet),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def _complete_scope(self, version: str) -> None:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""

    def _start_asgi_task(self, cycle: Exchange, app: "ASGI3Application") -> None:  # type: ignore[override]
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def forget_request(self) -> None:
        """Hold nothing of the head that came last, whole or not."""
        self.url, self.headers = b"", []
        self.scope = None  # type: ignore[assignment]  # as at the beginning
        self._head_held = 0
        if self.deaf:
            self.parser = None  # type: ignore[assignment]  # which has a part of it

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self.moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.incomplete = None
        self._unparsed = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()
