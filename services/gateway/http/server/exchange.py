"""One request and its answer: what it holds, and how the answer ends where a caller speaks HTTP/1.0."""

import asyncio
from collections.abc import Callable, Coroutine, Sized
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from services.gateway.http.answers.leaving import LEAVING

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent


def do_nothing() -> None:
    """Stand where a connection was called."""


class Flow(FlowControl):
    """Reads no further while a request waits for the answer to one before it."""

    def __init__(self, transport: "asyncio.Transport", waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Exchange(RequestResponseCycle):
    def __init__(self, weight: int, taken: Callable[[], None], **given: Any) -> None:
        """Begin with a whole head.

        Args:
            weight: What the head takes, in bytes.
            taken: Is called when what came of the body was handed on.
            given: As uvicorn has it.
        """
        super().__init__(**given)
        self._weight = weight
        self._taken = taken
        self._told_leaving = do_nothing

    def run_asgi(self, app: "ASGI3Application") -> Coroutine[Any, Any, None]:
        """Answer. From here on scope and exchange know each other; one that only waits is gone once it is dropped."""
        self.scope[LEAVING] = self.tell_leaving  # type: ignore[literal-required]  # ours
        return super().run_asgi(app)

    @property
    def held_bytes(self) -> int:
        """How much of this request is held here: its head, and what nobody has taken of its body."""
        return self._weight + len(self.body)

    def forget(self) -> None:
        """Hold nothing any more: the answer is complete, or nobody is there for it."""
        self.scope.pop(LEAVING, None)  # type: ignore[misc]  # whoever keeps the scope keeps no connection by it
        self.scope, self.body, self._weight = {}, bytearray(), 0  # type: ignore[typeddict-item]

    def part(self) -> None:
        """Hold nothing, and know the connection no more: it is lost, and gone at once where nobody knows it."""
        self.forget()
        self._taken = self.on_response = self._told_leaving = do_nothing

    def tell_leaving(self, told: Callable[[], None]) -> None:
        """Call this when the caller leaves while it is being answered: soon, where it has left.

        Not at once: whoever is cancelled while they run, and waits for nothing, meets that wherever they wait next.
        """
        self.flow.resume_reading()  # or nobody would see it leave
        self._told_leaving = told
        if self.disconnected:
            asyncio.get_running_loop().call_soon(told)

    def disconnect(self) -> None:
        """Note that the caller is gone, or has what it will get."""
        self.disconnected = True
        self.message_event.set()
        self._told_leaving()

    async def receive(self) -> "ASGIReceiveEvent":
        message = await super().receive()
        self._taken()
        return message


class UnframedExchange(Exchange):
    """Sends an answer without a known length as it is, and never in chunks: HTTP/1.0 knows none.

    The connection's end ends it.
    """

    ends_with_connection = False

    async def send(self, message: "ASGISendEvent") -> None:
        if message["type"] == "http.response.start":
            self.ends_with_connection = b"content-length" not in (
                name.lower() for name, _ in message.get("headers", ())
            )
            if self.ends_with_connection:
                self.chunked_encoding = False
        elif message["type"] == "http.response.body" and self.ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))  # each piece is as long as it should be
        await super().send(message)
