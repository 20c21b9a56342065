"""What every REST call passes: it is noted down, faults and the rate limit apply, its headers are checked."""

import asyncio
import hmac
from datetime import UTC, datetime, timedelta

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from deploy.sandbox.avinode.calls import CallLog
from deploy.sandbox.avinode.faults import FaultSwitch
from deploy.sandbox.avinode.market.errors import InvalidInputError, RefusedError, UnknownIdError
from deploy.sandbox.avinode.resources import error_envelope
from deploy.sandbox.avinode.rest.oauth import PATH, Tokens
from deploy.sandbox.avinode.rest.rate_limit import TokenBucket
from deploy.sandbox.settings import SandboxSettings

_CLOCK_TOLERANCE = timedelta(minutes=5)
_COME_AGAIN = {"Retry-After": "1"}  # With 429 and 503: a busy server that refused the call, not a proxy that lost it.


class Gate:
    """Stand before the REST API, as its middleware."""

    def __init__(self, settings: SandboxSettings, calls: CallLog, faults: FaultSwitch, tokens: Tokens) -> None:
        self._settings = settings
        self._tokens = tokens
        self._calls = calls
        self._faults = faults
        self._bucket = TokenBucket(settings.avinode_rate_per_s, settings.avinode_rate_burst)

    def middleware(self) -> Middleware:
        """Return the middleware; aiohttp takes no bound method."""

        @web.middleware
        async def through_the_gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            call = self._calls.open(request.method, request.path_qs, datetime.now(UTC))
            response = self._refused(request) or await _answered(request, handler)
            response.headers.update(self._bucket.headers())
            await asyncio.sleep(self._faults.current.rest_hang_ms / 1000)
            call.status = response.status
            return response

        return through_the_gate

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        """Return the answer to a call that gets no further than here."""
        if self._faults.current.rest_status is not None:
            return _simulated_failure(self._faults.current.rest_status)
        if not self._bucket.take():
            return _refusal(429, "Too many calls", "RATE_LIMIT_EXCEEDED", _COME_AGAIN)
        if request.path.endswith(PATH):
            return None  # who asks for a token has none yet
        return self._wrong_header(request)

    def _wrong_header(self, request: web.Request) -> web.Response | None:
        """Return the refusal of a call whose headers don't pass."""
        for name in ("X-Avinode-ApiToken", "X-Avinode-SentTimestamp"):
            if not request.headers.get(name):
                return _refusal(400, f"The header '{name}' is required", "ERR_INPUT_MISSING")
        if not _is_recent(request.headers["X-Avinode-SentTimestamp"]):
            title = "The header 'X-Avinode-SentTimestamp' is no ISO 8601 time within 5 minutes of ours"
            return _refusal(400, title, "ERR_INPUT_GENERIC_INVALID")
        if not self._knows_caller(request):
            return _refusal(401, "The credentials are not valid", "ERR_INPUT_GENERIC_INVALID")
        return None

    def _knows_caller(self, request: web.Request) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not bearer.strip():
            return False
        token, expected = self._settings.avinode_api_token, self._settings.avinode_auth_token
        sent_token = request.headers["X-Avinode-ApiToken"]
        if token is not None and not _same(sent_token, token.get_secret_value()):
            return False
        if self._tokens.knows(bearer.strip()):
            return True
        if expected is None:
            return not self._settings.avinode_client_id
        return _same(bearer.strip(), expected.get_secret_value().removeprefix("Bearer "))


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer, errors in Avinode's shape."""
    try:
        return await handler(request)
    except InvalidInputError as error:
        code = "ERR_INPUT_MISSING" if error.is_missing else "ERR_INPUT_GENERIC_INVALID"
        return web.json_response(error_envelope(str(error), code, error.path), status=400)
    except UnknownIdError as error:
        return _refusal(404, str(error), "NOT_FOUND")
    except RefusedError as error:
        return _refusal(409, str(error), "ERR_CONFLICT")
    except web.HTTPException as error:
        code = "NOT_FOUND" if error.status == 404 else "ERR_INPUT_GENERIC_INVALID"
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _refusal(error.status, error.reason, code, headers)


def _simulated_failure(status: int) -> web.Response:
    error = error_envelope(f"The sandbox was told to answer {status}", "ERR_SIMULATED")
    headers = _COME_AGAIN if status in {429, 503} else None
    return web.json_response({**error, "data": None} if status == 200 else error, status=status, headers=headers)


def _refusal(status: int, title: str, code: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(error_envelope(title, code), status=status, headers=headers)


def _is_recent(sent: str) -> bool:
    try:
        at = datetime.fromisoformat(sent)
    except ValueError:
        return False
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return abs(datetime.now(UTC) - at) <= _CLOCK_TOLERANCE


def _same(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode(errors="surrogateescape"), expected.encode())
