"""Call Avinode: with its headers, within its rate, and never anywhere but below the configured base URL."""

import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import aiohttp
import structlog
from prometheus_client import Counter

from services.workflow.avinode.bucket import TokenBucket
from services.workflow.notices import point
from services.workflow.pace import Pace
from shared.errors import Away, TripthreadError
from shared.events import Json
from shared.settings import Settings

PRODUCT = "Tripthread-v0.1"
LARGEST_ANSWER = 10_000_000
LONGEST_WAIT_S = 3600.0
# After these the call surely changed nothing. Not so 408, 409 or a redirect: a proxy may say them after the fact.
REFUSALS = frozenset((400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431))
_CALLS = Counter("tripthread_avinode_calls_total", "Calls to Avinode by method and answer.", ["method", "answer"])

log = structlog.get_logger(__name__)


class AvinodeAway(Away):
    """Avinode gives no answer for now."""

    code = "avinode_away"

    def __init__(self, detail: str, *, wait_s: float | None = None, is_acted_on: bool | None = False) -> None:
        super().__init__(detail)
        self.wait_s = wait_s  # what Avinode asked for
        self.is_acted_on = is_acted_on  # None: nobody can tell


class AvinodeRefused(TripthreadError):
    """Avinode refuses the call."""

    code = "avinode_refused"

    def __init__(self, detail: str, *, is_ours: bool) -> None:
        super().__init__(detail)
        self.is_ours = is_ours  # the fault of our credentials, permissions or base URL, not of what this call asks for


class AvinodeMissing(AvinodeRefused):
    """Avinode knows no such thing."""

    code = "avinode_missing"


class AvinodeUnclear(TripthreadError):
    """Avinode's answer cannot be read, or does not say what became of the call."""

    code = "avinode_unclear"


class Avinode:
    """Avinode's REST API, the part that following a trip needs.

    Every call costs a token (`ready`). The caller takes it, because what it notes before a call (when it began, that
    it was sent) has to be true of the call, not of the wait for it.
    """

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, pace: Pace) -> None:
        self.base_url = settings.avinode_base_url.rstrip("/")
        self.bucket = TokenBucket(settings.avinode_calls_per_s, settings.avinode_burst)
        self._settings = settings
        self._http = http
        self._pace = pace
        self._failures = 0  # in a row, without any answer

    async def ready(self) -> None:
        """Wait until one call may be made.

        Raises:
            ShuttingDown: There will be no more calls.
        """
        await self.bucket.take()

    async def read(self, kind: str, reference: str) -> Any:
        """Read a resource by its collection and id, or a trip by its code."""
        return await self._call("GET", f"{self.base_url}/{kind}/{reference}")

    async def follow(self, href: str) -> Any:
        """Read what a notice points at.

        Raises:
            AvinodeRefused: The href is not below the base URL; nothing was called.
        """
        pointer = point(href, self.base_url)
        if pointer is None:
            raise AvinodeRefused("the href is not below AVINODE_BASE_URL", is_ours=False)
        return await self._call("GET", pointer.href)

    async def create_trip(self, request_id: UUID, segments: Sequence[Json], pax: int, criteria: Json) -> Any:
        """Create a trip.

        Raises:
            AvinodeAway: `is_acted_on` says whether the trip may exist all the same.
        """
        body = {
            "segments": [_segment(segment, pax) for segment in segments],
            "criteria": criteria,
            "sourcing": True,
            "externalTripId": str(request_id),
        }
        return await self._call("POST", f"{self.base_url}/trips", body)

    async def _call(self, method: str, url: str, body: Json | None = None) -> Any:
        try:
            async with self._http.request(
                method, url, json=body, headers=self._headers(), allow_redirects=False
            ) as response:
                content = await _content(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unanswered(method, error) from error
        self._failures = 0
        _CALLS.labels(method, str(response.status)).inc()
        return self._understood(response.status, response.headers, content)

    def _unanswered(self, method: str, error: Exception) -> AvinodeAway:
        """A call is surely not sent while its connection is not made; each call makes its own."""
        self._failures += 1
        _CALLS.labels(method, "none").inc()
        self.bucket.hold(min(self._pace.retry_s(self._failures), self._pace.answer_s))
        is_unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        log.warning("avinode does not answer", method=method, error=str(error) or type(error).__name__)
        detail = f"no answer: {type(error).__name__}"
        return AvinodeAway(detail, is_acted_on=False if is_unsent else None)

    def _understood(self, status: int, headers: Mapping[str, str], content: bytes) -> Any:
        """Return the body of a good answer; tell the others apart."""
        if status in (429, 503):
            wait_s = wanted_wait_s(headers) or self._pace.first_retry_s
            self.bucket.hold(wait_s)
            is_busy = status == 429 or "Retry-After" in headers  # a bare 503 may be a proxy that lost the answer
            raise AvinodeAway(f"answered {status}", wait_s=wait_s, is_acted_on=False if is_busy else None)
        if status >= 500:
            raise AvinodeAway(f"answered {status}", is_acted_on=None)
        body = _json(content)
        errors = errors_in(body)
        if status in REFUSALS:
            raise self._refused(status, errors)
        if status >= 300:
            raise AvinodeUnclear(f"answered {status}" + (f": {errors}" if errors else ""))
        if body is None:
            raise AvinodeUnclear(f"answered {status}, but no JSON")
        if errors:
            log.warning("avinode answers with errors", status=status, errors=errors)
            if not isinstance(body, dict) or not body.get("data"):
                raise AvinodeUnclear(f"answered {status} with errors: {errors}")
        return body

    def _refused(self, status: int, errors: str) -> AvinodeRefused:
        detail = f"answered {status}" + (f": {errors}" if errors else "")
        if status in (404, 410):
            return AvinodeMissing(detail, is_ours=False)
        if status in (401, 403):
            self.bucket.hold(self._pace.refused_s * random.uniform(1, 2))  # noqa: S311 - spreads calls, hides nothing
            log.error("avinode refuses our credentials", status=status, errors=errors)
        return AvinodeRefused(detail, is_ours=status in (401, 403))

    def _headers(self) -> dict[str, str]:
        token = self._settings.avinode_auth_token.get_secret_value().removeprefix("Bearer ")
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "X-Avinode-ApiToken": self._settings.avinode_api_token.get_secret_value(),
            "Authorization": f"Bearer {token}",
            "X-Avinode-SentTimestamp": sent_at,
            "X-Avinode-Product": PRODUCT,
            "X-Avinode-ApiVersion": "v1.0",
        }


@asynccontextmanager
async def open_avinode(settings: Settings, pace: Pace | None = None) -> AsyncIterator[Avinode]:
    """Open the client. A connection serves one call: a kept one may be closed just as a trip is posted on it."""
    pace = pace or Pace()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=pace.answer_s, connect=pace.connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as http:
        yield Avinode(settings, http, pace)


def _segment(segment: Json, pax: int) -> Json:
    when = {"date": segment["date"], "departure": True, "local": True}
    if segment.get("time"):
        when["time"] = segment["time"]
    return {
        "startAirport": {"icao": segment["from_icao"]},
        "endAirport": {"icao": segment["to_icao"]},
        "dateTime": when,
        "paxCount": str(pax),  # a number as text: so in Avinode's examples
        "paxSegment": True,
        "paxTBD": False,
        "timeTBD": "time" not in when,
    }


async def _content(response: aiohttp.ClientResponse) -> bytes:
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_ANSWER:
            raise aiohttp.ClientPayloadError("the answer is too large")
    return b"".join(chunks)


def _json(content: bytes) -> Any:
    """Read JSON; not by orjson, which refuses a whole answer for one lone surrogate in a chat message."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def errors_in(body: Any) -> str:
    """Return the titles of `meta.errors`, which an answer of 200 may have too."""
    meta = body.get("meta") if isinstance(body, dict) else None
    errors = meta.get("errors") if isinstance(meta, dict) else None
    if not isinstance(errors, list):
        return ""
    titles = [str(error.get("title") or error.get("code")) for error in errors if isinstance(error, dict)]
    return "; ".join(titles).replace("\x00", "").encode(errors="replace").decode()[:500]


def wanted_wait_s(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (seconds or a date), else X-Rate-Limit-Reset (seconds)."""
    wanted = headers.get("Retry-After") or headers.get("X-Rate-Limit-Reset") or ""
    try:
        wait_s = float(wanted) if wanted.replace(".", "", 1).isdecimal() else _seconds_until(wanted)
    except ValueError:
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)


def _seconds_until(http_date: str) -> float:
    then = parsedate_to_datetime(http_date)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return (then - datetime.now(UTC)).total_seconds()
