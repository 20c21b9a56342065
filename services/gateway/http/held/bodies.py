"""Bodies while they come: how long one may be, and how much of all of them is held at once."""

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from services.gateway.http.held.shares import Holding, Shares
from shared.errors import TooLarge
from shared.settings import Settings

FREE = 8 * 1024  # bytes of each body, which are in no room; docs/security.md has the sum of all connections'
HELD = "tripthread.held_body"

Whose = Callable[[Scope], str]  # names the account that a body counts for


class Bodies:
    def __init__(self, settings: Settings, whose: Whose) -> None:
        self._most = settings.max_body_bytes
        self._shares = Shares(settings.body_bytes_at_once, one_bytes=self._most, free_bytes=FREE)
        self._whose = whose

    def counted(self, scope: Scope, receive: Receive) -> Receive:
        """Count what comes of a request's body, and hold it until it is let go of.

        Raises (from what is returned):
            TooLarge: It is longer than a body may be.
            TooMany, Overloaded: There is no room for more of it.
        """
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            size = len(message.get("body", b""))
            seen += size
            if seen > self._most:
                raise self.too_large()
            if seen > FREE and size:
                self._hold(scope, seen, size)
            return message

        return counted

    @property
    def held_bytes(self) -> int:
        """How much of bodies there is in the room now."""
        return self._shares.total

    def too_large(self) -> TooLarge:
        return TooLarge(f"A body may have at most {self._most} bytes.")

    def is_too_long(self, announced: int) -> bool:
        return announced > self._most

    def _hold(self, scope: Scope, seen: int, size: int) -> None:
        held: Holding | None = scope.get(HELD)
        if held is None:
            held = scope[HELD] = self._shares.hold(self._whose(scope))
            size = seen
        held.take(size)


def let_go_of_body(scope: Scope) -> None:
    """Note that nothing of a request's body is held any more."""
    held: Holding | None = scope.pop(HELD, None)
    if held is not None:
        held.let_go()


async def take_body(request: Request) -> bytes:
    """Read a body for who needs it once: the request does not keep it, so `let_go_of_body` is true soon.

    Raises:
        ClientDisconnect: Its caller has gone.
    """
    pieces = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def until_left(receive: Receive) -> None:
    """Return when whoever asked has gone; of a body that was read already nothing comes any more."""
    while (await receive())["type"] != "http.disconnect":
        pass
