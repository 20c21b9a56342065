"""Call Avinode: with its headers, within its rate, and never anywhere but below the configured base URL."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import structlog
from prometheus_client import Counter, Gauge

from services.workflow.avinode.answers import errors_in, understood
from services.workflow.avinode.bucket import TokenBucket
from services.workflow.avinode.credentials import Credentials
from services.workflow.avinode.errors import AvinodeAway, AvinodeLocked, AvinodeRefused, Unreadable
from services.workflow.avinode.notices import point
from services.workflow.avinode.pages import read_pages
from services.workflow.waits import Waits
from shared.events import Json
from shared.settings import Settings

PRODUCT = "Tripthread-v0.1"
LARGEST_ANSWER = 10_000_000
_CALLS = Counter("tripthread_avinode_calls_total", "Calls to Avinode by method and answer.", ["method", "answer"])
_HELD = Gauge("tripthread_avinode_held_seconds", "For how long from now on Avinode is left alone, whatever is due.")
REFUSAL = "Avinode refuses our credentials"

log = structlog.get_logger(__name__)


class Avinode:
    """Avinode's REST API, the part that following a trip needs.

    Every call costs a token (`ready`). The caller takes it, because what it notes before a call (when it began, that
    it was sent) has to be true of the call, not of the wait for it.
    """

    def __init__(self, settings: Settings, http: aiohttp.ClientSession, waits: Waits) -> None:
        self.base_url = settings.avinode_base_url.rstrip("/")
        self.bucket = TokenBucket(settings.avinode_calls_per_s, settings.avinode_burst)
        self._settings = settings
        self._http = http
        self._credentials = Credentials(settings, http)
        self._waits = waits
        self._failures = 0  # in a row, without any answer
        self._refusals = 0  # in a row, of Avinode because it is busy
        self._refusal, self._refused_until = "", datetime.now(UTC)
        _HELD.set_function(lambda: self.bucket.held_s)

    @property
    def refusal(self) -> str | None:
        """Say why nothing is called, while that is because Avinode refuses our credentials; in words for users."""
        return self._refusal if datetime.now(UTC) < self._refused_until else None

    async def ready(self, *, is_urgent: bool = False) -> None:
        """Wait until one call may be made; an urgent one, for which somebody waits, comes before all others.

        Raises:
            ShuttingDown: There will be no more calls.
        """
        await self.bucket.take(is_urgent=is_urgent)

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
            raise AvinodeRefused("the href is not below AVINODE_BASE_URL")
        return await self._call("GET", pointer.href)

    async def create_trip(self, order: Json) -> Any:
        """Create a trip, of a `trip_order`.

        Raises:
            AvinodeAway: `is_acted_on` says whether the trip may exist all the same.
        """
        return await self._call("POST", f"{self.base_url}/trips", order)

    async def cancel_trip(self, avinode_trip_id: str, reason: str, message: str | None) -> Any:
        """Cancel a trip with all its RFQs, whose operators get the message; once more is the same.

        Args:
            avinode_trip_id: `atrip-` and digits.
            reason: `BY_CLIENT`, `CHANGED`, `BOOKED` or `OTHER`.
            message: To the operators.
        """
        body = {"id": avinode_trip_id, "reason": reason} | ({"messageToSeller": message} if message else {})
        return await self._call("PUT", f"{self.base_url}/trips/{avinode_trip_id}/cancel", body)

    async def webhooks(self) -> Json:
        """Read all of the company's webhooks, for an operator; each page is a call."""

        async def ask(query: str) -> Any:
            await self.ready(is_urgent=True)
            return await self._call("GET", f"{self.base_url}/webhooks/settings{query}")

        return await read_pages(ask)

    async def put_webhook(self, setting: Json, webhook_id: str | None) -> Any:
        """Set a webhook up, or change one, for an operator."""
        if webhook_id is None:
            return await self._call("POST", f"{self.base_url}/webhooks/settings", setting)
        return await self._call("PUT", f"{self.base_url}/webhooks/settings/{webhook_id}", setting)

    async def _call(self, method: str, url: str, body: Json | None = None) -> Any:
        """Call; once more where the token was refused that we had got before, as of a call that nobody acted on."""
        token = await self._token()
        status, headers, content = await self._ask(method, url, body, token)
        if status == 401 and self._credentials.can_be_renewed:
            self._credentials.forget(token)
            token = await self._token()
            await self.ready(is_urgent=True)
            status, headers, content = await self._ask(method, url, body, token)
        return self._understood(status, headers, content)

    async def _ask(self, method: str, url: str, body: Json | None, token: str) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with self._http.request(
                method, url, json=body, headers=self._headers(token), allow_redirects=False
            ) as response:
                content = await _content(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unanswered(method, error) from error
        self._failures = 0
        _CALLS.labels(method, str(response.status)).inc()
        return response.status, response.headers, content

    async def _token(self) -> str:
        """Return the token to call with; where there is none, all calls wait."""
        try:
            return await self._credentials.token()
        except AvinodeLocked as error:
            raise self._locked(error) from error
        except AvinodeAway as error:
            self._failures += 1
            self.bucket.hold(max(error.wait_s or 0.0, self._waits.retry_s(self._failures)))
            raise

    def _unanswered(self, method: str, error: Exception) -> AvinodeAway:
        """A call is surely not sent while its connection is not made; each call makes its own."""
        self._failures += 1
        _CALLS.labels(method, "none").inc()
        self.bucket.hold(min(self._waits.retry_s(self._failures), self._waits.answer_s))
        is_unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        log.warning("avinode does not answer", method=method, error=str(error) or type(error).__name__)
        detail = f"no answer: {type(error).__name__}"
        return AvinodeAway(detail, is_acted_on=False if is_unsent else None)

    def _understood(self, status: int, headers: Mapping[str, str], content: bytes) -> Any:
        """Return the body of a good answer; leave Avinode alone for a while where it asks for that."""
        try:
            body = understood(status, headers, content, usual_wait_s=self._waits.first_retry_s)
        except AvinodeAway as error:
            self.bucket.hold(self._busy_s(error))
            raise
        except AvinodeLocked as error:
            raise self._locked(error) from error
        self._refusals = 0
        if errors := errors_in(body):
            log.warning("avinode answers with errors", status=status, errors=errors)
        return body

    def _busy_s(self, error: AvinodeAway) -> float:
        """Return for how long a busy Avinode is left alone: as it asks, and longer each time that was not enough."""
        if error.wait_s is None:
            return 0.0  # it failed at this one thing
        self._refusals += 1
        return max(error.wait_s, self._waits.retry_s(self._refusals - 1) if self._refusals > 1 else 0.0)

    def _locked(self, error: AvinodeLocked) -> AvinodeLocked:
        """Leave Avinode alone for as long as it asks, and say so: once in the log, and in words for users."""
        is_news = self.refusal is None
        self.bucket.hold(self._waits.refused_s * random.uniform(1, 2))  # noqa: S311 - spreads calls, hides nothing
        self._refused_until = datetime.now(UTC) + timedelta(seconds=self.bucket.held_s)
        again = f"{self._refused_until:%H:%M} UTC"
        self._refusal = f"{REFUSAL} ({error.detail}), which an operator has to mend; it is asked again at {again}."
        if is_news:
            log.error("avinode refuses our credentials", error=error.detail, asked_again_at=again)
        return AvinodeLocked(f"{REFUSAL} ({error.detail})")

    def _headers(self, token: str) -> dict[str, str]:
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "X-Avinode-ApiToken": self._settings.avinode_api_token.get_secret_value(),
            "Authorization": f"Bearer {token}",
            "X-Avinode-SentTimestamp": sent_at,
            "X-Avinode-Product": PRODUCT,
            "X-Avinode-ApiVersion": "v1.0",
        }


@asynccontextmanager
async def open_avinode(settings: Settings, waits: Waits | None = None) -> AsyncIterator[Avinode]:
    """Open the client. A connection serves one call: a kept one may be closed just as a trip is posted on it."""
    waits = waits or Waits()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        timeout=aiohttp.ClientTimeout(total=waits.answer_s, connect=waits.connect_s),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as http:
        yield Avinode(settings, http, waits)


def trip_order(request_id: UUID, segments: Sequence[Json], pax: int, criteria: Json) -> Json:
    """Write what creates a trip; the request's id comes back as the trip's `externalTripId`."""
    return {
        "segments": [_segment(segment, pax) for segment in segments],
        "criteria": criteria,
        "sourcing": True,
        "externalTripId": str(request_id),
    }


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
            raise Unreadable(f"the answer has more than {LARGEST_ANSWER} bytes")
    return b"".join(chunks)
