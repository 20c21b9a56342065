"""One connection to a model's service, and the answer that comes on it: HTTP/1.1, as httptools reads it.

aiohttp's client takes three times the processor time for a request, and looks for more after each chunk of a body
(ARCHITECTURE.md, decisions). What is said here of an answer is that of the last request.
"""

import asyncio
from collections.abc import Callable

import httptools

from services.gateway.model.asking.unpacking import Unpacking, is_packed

LONGEST_HEAD = 64 * 1024  # bytes, and of all else that is no body
MOST_HEADERS = 200
MOST_UNREAD = 256 * 1024  # bytes of a body that wait to be read; what is more stays in the kernel


class Disconnected(ConnectionError):
    """The service has closed the connection before its answer began."""


class CutOff(ConnectionError):
    """The service has closed the connection in the middle of its answer."""


class NoHttp(ConnectionError):
    """What the service sends is no answer as HTTP has it."""


class Connection(asyncio.Protocol):
    """Serves one request after the other."""

    def __init__(self, begun: Callable[["Connection"], None], ended: Callable[["Connection"], None]) -> None:
        """Make one that calls these when it is open, and when it has closed."""
        self._begun = begun
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        # As aiohttp's: services spell some of it otherwise than HTTP has it, and it can be meant only one way.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport
        self._forget_answer()

    def _forget_answer(self) -> None:
        self.status = 0  # none has come yet
        self.headers: dict[str, str] = {}
        self._named = 0  # headers, each time that one is
        self._has_head = self._is_whole = self._keeps = self._is_held = False
        self._unparsed = 0  # bytes that came since the last of a body
        self._pieces: list[bytes] = []
        self._unread = 0
        self._unpacking: Unpacking | None = None
        self._error: Exception | None = None

    @property
    def is_reusable(self) -> bool:
        """Whether the request has gone out, its answer is whole, and another request may follow.

        Not where so much is unread that reading has stopped: then nothing would be read of the next answer either.
        """
        if not (self._is_whole and self._keeps) or self._unread > MOST_UNREAD:
            return False
        return not self._transport.is_closing() and not self._transport.get_write_buffer_size()

    def ask(self, request: bytes) -> None:
        """Send a request, on a connection that is new or reusable."""
        self._forget_answer()
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the status and the headers.

        Raises:
            Disconnected, NoHttp, OSError: None come.
        """
        while not self._has_head:
            await self._news()

    async def readany(self) -> bytes:
        """Wait for what comes next of the body; nothing at its end.

        Raises:
            CutOff, NoHttp, OSError: It comes to no end; raised after what came of it.
        """
        unpacking = self._unpacking
        if unpacking is None:
            return await self._came()
        while unpacking.has_more or unpacking.take(await self._came()):
            try:
                if data := unpacking.unpack():
                    return data
            except ValueError as error:
                raise NoHttp(str(error)) from error
        return b""

    async def _came(self) -> bytes:
        while not self._pieces:
            if self._is_whole:
                return b""
            await self._news()
        pieces, self._pieces = self._pieces, []
        unread, self._unread = self._unread, 0
        if unread > MOST_UNREAD:
            self.go_on()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def give_up(self, error: Exception) -> None:
        """Let whoever reads have this error, and no more of the answer."""
        self._pieces, self._error, self._is_whole = [], error, False
        self.abort()
        self._wake()

    def hold(self) -> bool:
        """Leave in the kernel what comes, until `go_on`; false where nothing more comes."""
        if self._is_whole or self._error is not None or self._transport.is_closing():
            return False
        self._transport.pause_reading()
        return True

    def go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as asyncio makes it
        self._transport = transport
        self._begun(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._has_head and self._ends_with_connection:
            self._is_whole = self._error is None
        elif self._error is None:
            self._error = exc or (CutOff() if self._has_head else Disconnected())
        self._wake()
        self._ended(self)

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        try:
            self._parser.feed_data(data)
            if self._unparsed > LONGEST_HEAD:
                raise ValueError("its head, or what is between two pieces of its body, does not end")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError) as error:
            self._error = self._error or NoHttp(str(error))
            self.abort()
        self._wake()

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ValueError("nobody has asked for another answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return  # nobody reads trailers
        self._named += 1
        if self._named > MOST_HEADERS:
            raise ValueError("it has too many headers")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # another head follows
            self.headers = {}
            return
        encoding = self.headers.get("content-encoding", "")
        self._unpacking = Unpacking(encoding) if is_packed(encoding) else None
        self._keeps = self._parser.should_keep_alive()
        self._unparsed = 0
        self.status, self._has_head = status, True

    def on_body(self, data: bytes) -> None:
        self._unparsed = 0
        self._pieces.append(data)
        self._unread += len(data)
        if self._unread > MOST_UNREAD:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self._is_whole = self._has_head

    @property
    def _ends_with_connection(self) -> bool:
        coding = self.headers.get("transfer-encoding", "").lower()
        return "content-length" not in self.headers and "chunked" not in coding

    async def _news(self) -> None:
        """Wait until something has come, or ended; raise why nothing will."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
