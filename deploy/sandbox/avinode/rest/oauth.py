"""Tokens for a client's id and secret, as `POST /api/oauth/token` gives them."""

import hmac
import secrets
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs

from aiohttp import web

from deploy.sandbox.avinode.market.errors import InvalidInputError
from deploy.sandbox.bodies import read_body
from deploy.sandbox.settings import SandboxSettings

PATH = "/oauth/token"
_USUAL_MINUTES, _MOST_MINUTES = 30, 120


class Tokens:
    """Give tokens, and know them until they end."""

    def __init__(self, settings: SandboxSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._good_until: dict[str, datetime] = {}

    def knows(self, token: str) -> bool:
        """Tell whether a token was given here and is good for now."""
        return token in self._good_until and self._clock() < self._good_until[token]

    async def give(self, request: web.Request) -> web.Response:
        """Give a token; `expiresInMinutes` is 1 to 120, by default 30."""
        form = parse_qs((await read_body(request)).decode(errors="replace"), max_num_fields=10)
        if form.get("grant_type") != ["client_credentials"]:
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if not self._is_client(request.headers.get("Authorization", ""), form):
            return web.json_response({"error": "invalid_client"}, status=401)
        minutes = _minutes(form.get("expiresInMinutes", [str(_USUAL_MINUTES)])[0])
        token = secrets.token_urlsafe(32)
        self._good_until[token] = self._clock() + timedelta(minutes=minutes)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": minutes * 60})

    def _is_client(self, authorization: str, form: dict[str, list[str]]) -> bool:
        """Check `client_secret_basic`, or `client_secret_post`."""
        sent = f"{form.get('client_id', [''])[0]}:{form.get('client_secret', [''])[0]}".encode()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                sent = b64decode(token, validate=True)
            except ValueError:
                return False
        expected = f"{self._settings.avinode_client_id}:{self._settings.avinode_client_secret.get_secret_value()}"
        return bool(self._settings.avinode_client_id) and hmac.compare_digest(sent, expected.encode())


def _minutes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= _MOST_MINUTES):
        msg = f"expiresInMinutes is 1 to {_MOST_MINUTES}"
        raise InvalidInputError(msg, "expiresInMinutes")
    return int(text)
