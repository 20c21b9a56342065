"""Who we are at Avinode: a bearer token that the settings have, or one that is got for a client's id and secret."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from time import monotonic
from typing import Any

import aiohttp

from services.workflow.avinode.errors import AvinodeAway, AvinodeLocked
from shared.settings import Settings
from shared.texts.lenient_json import Unreadable, read_json
from shared.texts.retry_after import retry_after_s

USUAL_S = 1800.0  # that a token is good for where its answer does not say
EARLY_S = 60.0  # before its end a new one is got, half its time at most
LARGEST = 100_000  # bytes of an answer
ENDPOINT = "/oauth/token"


class Credentials:
    """The token of every call. One call gets a new one for all that wait for it (RFC 6749, 4.4)."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._getting = asyncio.Lock()
        self._token, self._good_until = "", 0.0

    @property
    def can_be_renewed(self) -> bool:
        return self._settings.has_avinode_client

    async def token(self) -> str:
        """Return a token that is good for now.

        Raises:
            AvinodeAway: There is none to be had for now; the call that needs it was not made.
            AvinodeLocked: Avinode does not accept the client.
        """
        if not self.can_be_renewed:
            return self._settings.avinode_auth_token.get_secret_value().removeprefix("Bearer ")
        if self._clock() >= self._good_until:
            async with self._getting:
                if self._clock() >= self._good_until:  # nobody got one meanwhile
                    self._token, good_s = await self._get()
                    self._good_until = self._clock() + good_s - min(EARLY_S, good_s / 2)
        return self._token

    def forget(self, token: str) -> None:
        """Get a new one next time: this one was refused."""
        if token == self._token:
            self._good_until = 0.0

    async def _get(self) -> tuple[str, float]:
        url = f"{self._settings.avinode_base_url.rstrip('/')}{ENDPOINT}"
        form = {"grant_type": "client_credentials"}
        try:
            async with self._http.post(url, data=form, headers=self._headers(), allow_redirects=False) as response:
                return _understood(response.status, response.headers, await response.content.read(LARGEST))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AvinodeAway(f"no token: no answer: {type(error).__name__}") from error

    def _headers(self) -> dict[str, str]:
        secret = self._settings.avinode_client_secret.get_secret_value()
        basic = b64encode(f"{self._settings.avinode_client_id}:{secret}".encode()).decode()
        return {
            "Authorization": f"Basic {basic}",
            "X-Avinode-ApiToken": self._settings.avinode_api_token.get_secret_value(),
        }


def _understood(status: int, headers: Any, content: bytes) -> tuple[str, float]:
    """Return the token and for how many seconds it is good."""
    if status in (400, 401, 403):
        raise AvinodeLocked(f"no token: answered {status}; see AVINODE_CLIENT_ID")
    if status != 200:
        wait_s = retry_after_s(headers.get("Retry-After"))
        raise AvinodeAway(f"no token: answered {status}", wait_s=wait_s)
    try:
        body = read_json(content)
    except Unreadable:
        body = None
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise AvinodeAway("no token: the answer has none")
    good_s = body.get("expires_in")
    is_number = isinstance(good_s, int | float) and not isinstance(good_s, bool) and 0 < good_s < 10**7
    return token, float(good_s) if is_number else USUAL_S
