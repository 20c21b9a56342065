"""Reach a host that has several addresses, some of which may lead nowhere (RFC 8305, "Happy Eyeballs")."""

import asyncio
import socket
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import zip_longest
from typing import TypeVar

APART_S = 0.25  # after which the next address is tried beside those that have not answered

Result = TypeVar("Result")
Made = TypeVar("Made", bound=asyncio.BaseProtocol)


async def reach(
    make: Callable[[], Made], host: str, port: int, tls: ssl.SSLContext | None, drop: Callable[[Made], None]
) -> Made:
    """Connect to whichever address of a host takes the connection first; what is made beside that is dropped.

    Raises:
        OSError: None does; the last one's error.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    attempts = [partial(_connect, make, address, port, tls, host) for address in by_turns(found)]
    return await first_of(attempts, APART_S, drop)


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
