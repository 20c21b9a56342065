"""Reach a host that has several addresses, some of which may lead nowhere (RFC 8305, "Happy Eyeballs")."""

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import TypeVar

LOOKUP_KEPT_S = 10.0  # each look-up takes one of a few threads, and a hundred calls may begin at once
APART_S = 0.25  # after which the next address is tried beside those that have not answered

Result = TypeVar("Result")
Made = TypeVar("Made", bound=asyncio.BaseProtocol)


class Lookup:
    """The addresses of one host: looked up once for all who want them at once, and kept for a while."""

    def __init__(self, host: str, port: int, kept_s: float = LOOKUP_KEPT_S) -> None:
        self.host, self.port = host, port
        self._kept_s = kept_s
        self._found: list[str] = []
        self._until = 0.0  # when they are looked up again, by the event loop's clock
        self._looking: asyncio.Task[list[str]] | None = None

    async def addresses(self) -> list[str]:
        """Return them, the best first.

        Raises:
            OSError: None is found.
        """
        if asyncio.get_running_loop().time() < self._until:
            return self._found
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    def forget(self) -> None:
        """Look them up again: they lead nowhere."""
        self._until = 0.0

    async def _look(self) -> list[str]:
        loop = asyncio.get_running_loop()
        self._found = by_turns(await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        self._until = loop.time() + self._kept_s
        return self._found


async def reach(
    make: Callable[[], Made], lookup: Lookup, tls: ssl.SSLContext | None, drop: Callable[[Made], None]
) -> Made:
    """Connect to whichever address of a host takes the connection first; what is made beside that is dropped.

    Raises:
        OSError: None does; the last one's error.
    """
    found = await lookup.addresses()
    attempts = [partial(_connect, make, address, lookup.port, tls, lookup.host) for address in found]
    try:
        return await first_of(attempts, APART_S, drop)
    except OSError:
        lookup.forget()
        raise


async def _connect(make: Callable[[], Made], address: str, port: int, tls: ssl.SSLContext | None, host: str) -> Made:
    name = host if tls is not None else None
    _, protocol = await asyncio.get_running_loop().create_connection(make, address, port, ssl=tls, server_hostname=name)
    return protocol


def by_turns(found: Iterable[tuple[int, int, int, str, tuple[object, ...]]]) -> list[str]:
    """Return addresses, those of two kinds by turns; `found` is as `getaddrinfo` has it, the best first."""
    kinds: defaultdict[int, dict[str, None]] = defaultdict(dict)
    for family, _, _, _, address in found:
        kinds[family][str(address[0])] = None
    return [address for row in zip_longest(*kinds.values()) for address in row if address is not None]


async def first_of(
    attempts: Sequence[Callable[[], Awaitable[Result]]], apart_s: float, drop: Callable[[Result], None]
) -> Result:
    """Return what the first attempt comes to that does; each begins when the one before has failed, or takes long.

    Whatever another one comes to, or this one where nobody waits for it any more, is dropped.

    Raises:
        OSError: None does; what the last one failed with.
    """
    left, running, error = list(attempts), set[asyncio.Future[Result]](), OSError("there is no address")
    not_taken = set[asyncio.Future[Result]]()
    try:
        while left or running:
            if left:
                running.add(asyncio.ensure_future(left.pop(0)()))
                not_taken |= running
            wait_s = apart_s if left else None
            done, running = await asyncio.wait(running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                failed = each.exception()
                if failed is None:
                    not_taken.discard(each)
                    return each.result()
                if not isinstance(failed, OSError):
                    raise failed
                error = failed
        raise error
    finally:
        for each in not_taken:
            each.cancel()
            each.add_done_callback(partial(_drop, drop))


def _drop(drop: Callable[[Result], None], attempt: "asyncio.Future[Result]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        drop(attempt.result())
