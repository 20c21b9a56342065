"""Ask other gateways about the turns that they run, on their internal addresses."""

import hmac
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Literal

import aiohttp
import orjson

from services.gateway.turns.here.buffer import KINDS, WHOLE
from services.gateway.turns.pieces import Whole
from services.gateway.turns.turn import Turn
from shared.settings import Settings

CONNECT_S = 0.2
SILENCE_S = 40.0  # of a stream, which gives a sign of life every 15 s
STOP_S = 0.2
LINE_BYTES = 256 * 1024  # more than the longest piece as JSON

StopOutcome = Literal["stopped", "followed", "ended"]
_OUTCOMES: dict[int, StopOutcome] = {200: "stopped", 409: "followed", 404: "ended"}


class PeerAway(ConnectionError):
    """Another gateway did not answer, or broke off."""


def internal_tokens(settings: Settings) -> list[str]:
    """Return what one gateway shows another, the first of these: all have the same secrets, and nobody else has."""
    about = b"tripthread/gateway-to-gateway"
    return [hmac.new(secret.encode(), about, sha256).hexdigest() for secret in settings.cookie_secrets]


class Peers:
    """The other gateways, each by the address in the rows of its turns."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def follow(self, turn: Turn) -> AsyncGenerator[str]:
        """Yield the pieces of a turn from its start, until its owner has ended it; an empty one is a sign of life.

        Raises:
            PeerAway: Its owner is not there, does not run it, or is gone before the end.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        try:
            async with self._http.get(_address(turn, "pieces"), timeout=timeout) as response:
                if response.status != 200:
                    raise PeerAway(f"status {response.status}")
                async for line in response.content:
                    kind, text = orjson.loads(line)
                    if kind in KINDS:  # a later release may know others
                        yield KINDS[kind](text)
                    elif kind == WHOLE:
                        yield Whole.read(text)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise PeerAway(f"{type(error).__name__}: {error}") from error

    async def stop(self, turn: Turn, *, unless_followed_for_s: float | None = None) -> StopOutcome:
        """Have a turn stopped by its owner.

        Args:
            turn: The turn, and which attempt at it.
            unless_followed_for_s: Leave it where somebody still follows it after that long; None: stop it in any case.

        Raises:
            PeerAway: Its owner has not answered in 200 ms, and what it waits for besides.
        """
        wait_s = unless_followed_for_s
        query = {} if wait_s is None else {"unless_followed_for_s": str(wait_s)}
        timeout = aiohttp.ClientTimeout(total=STOP_S + (wait_s or 0))
        try:
            async with self._http.post(_address(turn, "stop"), params=query, timeout=timeout) as response:
                if response.status not in _OUTCOMES:
                    raise PeerAway(f"status {response.status}")
                return _OUTCOMES[response.status]
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise PeerAway(f"{type(error).__name__}: {error}") from error


def _address(turn: Turn, what: str) -> str:
    owner = turn.owner if "://" in turn.owner else f"http://{turn.owner}"  # as gateways wrote it once
    return f"{owner}/turns/{turn.turn_id}/{turn.attempt}/{what}"


@asynccontextmanager
async def open_peers(settings: Settings) -> AsyncIterator[Peers]:
    """Open the connections to other gateways."""
    headers = {"Authorization": f"Bearer {internal_tokens(settings)[0]}"}
    connector = aiohttp.TCPConnector(limit=0)  # as many as turns are followed, and room for a stop beside them
    async with aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=LINE_BYTES) as http:
        yield Peers(http)
