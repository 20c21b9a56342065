"""The identity provider's keys: fetched when they are first needed, looked at again now and then, kept in an outage.

Nobody waits for the provider except whoever comes with a key that is not known, and they all wait for one fetch.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import aiohttp
import jwt
import structlog

from services.gateway.account.tokens.key_set import NO_KEYS, KeySet, read_key_set
from shared.backoff import Delays
from shared.errors import KeysAway, NotAuthenticated

FETCH_S = 5.0  # for one fetch, all in all
MOST_BYTES = 512 * 1024  # of an answer
REFRESH_S = 30.0  # between two fetches, whatever tokens come
FRESH_S = 300.0  # that keys are used before they are looked at again, beside the requests that use them

log = structlog.get_logger(__name__)

Fetch = Callable[[], Awaitable[KeySet]]


class UnknownKey(NotAuthenticated):
    """The token is signed with a key that its issuer does not have."""


class SigningKeys:
    def __init__(self, fetch: Fetch, kept_s: float, changed: Callable[[], None]) -> None:
        """Begin without keys.

        Args:
            fetch: Asks the provider, and raises what `FAULTS` are.
            kept_s: How long keys are good after the provider has last shown them.
            changed: Called when the keys are others: whatever was verified with them may count no more.
        """
        self._fetch = fetch
        self._kept_s = kept_s
        self._changed = changed
        self._keys = NO_KEYS
        self._shown_at = 0.0  # when the provider has shown these keys
        self._fresh_until = self._again_at = float("-inf")  # when to look again, and from when on one may
        self._delays = Delays(1.0, REFRESH_S)  # while there are no keys at all
        self._fetching: asyncio.Task[None] | None = None

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key that a token names.

        Raises:
            KeysAway: There are none: the provider has not answered yet, or not for too long.
            UnknownKey: There are others.
        """
        self.look_again()
        if self._keys is NO_KEYS:
            raise KeysAway(retry_after_s=max(1, round(self._again_at - monotonic())))
        key = self._keys.find(key_id, algorithm)
        if key is None:
            raise UnknownKey
        return key

    def look_again(self) -> None:
        """Let keys go that are too old, and fetch them anew where it is time for it; nobody waits.

        Raises:
            UnknownKey: Nobody has looked for long, and what was taken back since would count: wait for the fetch.
        """
        now = monotonic()
        if now < self._fresh_until:
            return
        if self._keys is not NO_KEYS and now - self._shown_at > self._kept_s:
            log.error("the identity provider's keys are too old", kept_s=self._kept_s)
            self._replace(NO_KEYS)
        is_long_ago = now - max(self._fresh_until, self._again_at) > REFRESH_S
        self._begin()
        if is_long_ago and self._keys is not NO_KEYS:
            raise UnknownKey

    async def refresh(self) -> None:
        """Fetch the keys, or wait for who does; at once where the last fetch was a moment ago."""
        self._begin()
        if self._fetching is not None:
            await asyncio.shield(self._fetching)  # others wait for it, too

    def _begin(self) -> None:
        now = monotonic()
        if self._fetching is None and now >= self._again_at:
            self._again_at = now + REFRESH_S
            self._fetching = asyncio.create_task(self._fetch_once())

    async def _fetch_once(self) -> None:
        try:
            keys = await self._fetch()
        except FAULTS as error:
            log.warning("the identity provider's keys were not fetched", error=str(error) or type(error).__name__)
            if self._keys is NO_KEYS:
                self._again_at = monotonic() + self._delays.next()
        else:
            self._shown_at = monotonic()
            self._fresh_until = self._shown_at + min(FRESH_S, self._kept_s)
            self._delays.reset()
            if keys != self._keys:
                log.info("the identity provider has other keys", keys=sorted(map(str, keys.keys)))
                self._replace(keys)
        finally:
            self._fetching = None

    def _replace(self, keys: KeySet) -> None:
        self._keys = keys
        self._changed()


FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


async def fetch_key_set(url: str) -> KeySet:
    """Ask the provider for its keys: the URL itself, since whoever may redirect could name other keys.

    Raises:
        FAULTS: It did not answer with a JWK Set in `FETCH_S` and `MOST_BYTES`.
    """
    timeout = aiohttp.ClientTimeout(total=FETCH_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,  # so rarely that no connection is kept
        http.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
    ):
        if response.status != 200:
            raise ValueError(f"it answered {response.status}")
        body = b""
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MOST_BYTES:
                raise ValueError(f"it answered more than {MOST_BYTES} bytes")
    return read_key_set(body)
