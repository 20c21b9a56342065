"""Call one upstream: any OpenAI-compatible service, always streaming.

Our own thin call on aiohttp rather than the openai client: per request it costs a quarter (ARCHITECTURE.md, decisions).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
import structlog
from yarl import URL

from services.gateway.model.asking.circuit import Circuit
from services.gateway.model.asking.failures import BROKEN, DOWN, HOPELESS, UpstreamFailed, outlook_of, wanted_wait_s
from services.gateway.model.chunks import Chunk, Complaint, united
from services.gateway.model.configured.catalog import CHATS, UpstreamSpec
from services.gateway.model.configured.habits import Asking, Habits
from services.gateway.model.configured.patience import Patience
from services.gateway.model.reading.answer_reader import AnswerReader
from services.gateway.model.reading.complaints import told
from services.gateway.model.reading.frames import Frames
from services.gateway.model.reading.refusals import complaint_of_body, read_refusal
from services.gateway.model.reading.retelling import Retelling
from services.gateway.model.relayed import Relayed

END_WAIT_S = 0.25
LONGEST_ALONE_S = 3600.0
MOST_MODELS = 1000  # that are remembered; callers name them

CONNECTION_ERRORS = (TimeoutError, aiohttp.ClientError, OSError)
UNSAID = 400  # the status of a complaint about a request that says none

log = structlog.get_logger(__name__)


class Reading:
    """One call: entered it asks, and then gives what comes of the answer.

    Raises:
        UpstreamFailed: The service can't be reached, refused the request, or broke off; the detail says which.
    """

    def __init__(
        self, upstream: "Upstream", asking: Asking, patience: Patience, relayed: Relayed | None = None
    ) -> None:
        self._relayed = relayed
        self.is_over = False
        self.is_done = False  # the service has said so
        self._upstream = upstream
        self._asking = asking
        self._patience = patience
        self._is_said = False  # a piece has come
        self._frames = Frames()

    async def __aenter__(self) -> Self:
        try:
            await self._ask()
        except CONNECTION_ERRORS as error:
            raise self._failure(error) from error
        self._patience.begin(self._give_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self.is_done:
                await self._read_to_end()
        finally:
            self._patience.end()
            self._response.release()
        if isinstance(error, CONNECTION_ERRORS):
            raise self._failure(error) from error

    async def next(self) -> Sequence[Chunk]:
        """Wait for what comes next, and return what it says, if anything; text that came together is one piece."""
        if self._reader.is_too_long:
            longest = self._upstream.longest_event
            raise UpstreamFailed(f"the model's service sent an event of more than {longest} bytes", HOPELESS)
        await self._frames.next(self._response)
        data = await self._content.readany()
        chunks = self._reader.feed(data) if data else self._reader.close()
        if not self._is_said and self._wants_otherwise(chunks):
            self._response.release()
            await self._ask()
            return []
        if self._is_said:
            self._frames.came(sum([chunk.pieces for chunk in chunks]))
        self._patience.pieces_came(chunks)
        for number, chunk in enumerate(chunks, 1):
            if chunk.is_done:
                self.is_done = self.is_over = True
                return united(chunks[:number])
        self.is_over = not data and not self._reader.is_too_long
        return united(chunks)

    async def _ask(self) -> None:
        self._response = await self._upstream.ask(self._asking, self._patience)
        self._content = self._response.content
        self._reader = self._upstream.open_reader(self._relayed)

    def _wants_otherwise(self, chunks: Sequence[Chunk]) -> bool:
        """Tell whether what should be an answer is a refusal that teaches how to ask, as LM Studio's are."""
        first = next((chunk for chunk in chunks if chunk.complaint or chunk.is_piece), None)
        if first is None:
            return False
        if first.complaint is not None:
            return self._asking.learns(first.complaint.status or UNSAID, first.complaint.text or "")
        self._is_said = True
        self._upstream.remember(self._asking)
        return False

    def _give_up(self) -> None:
        self._content.set_exception(TimeoutError())

    async def _read_to_end(self) -> None:
        """Read the end of an answer that is whole already: only then can its connection serve another call."""
        if self._content.at_eof():
            return
        ending = asyncio.get_running_loop().call_later(END_WAIT_S, self._give_up)
        try:
            with suppress(*CONNECTION_ERRORS):
                while await self._content.readany():
                    pass
        finally:
            ending.cancel()

    def _failure(self, error: Exception) -> UpstreamFailed:
        if isinstance(error, aiohttp.ServerTimeoutError):
            return UpstreamFailed("the model's service cannot be reached", BROKEN)
        if isinstance(error, TimeoutError):
            return UpstreamFailed(self._patience.impatience(), DOWN)
        return UpstreamFailed(f"the connection to the model's service broke: {type(error).__name__}", BROKEN)


class Connections(aiohttp.TCPConnector):
    """Has nobody ask on a connection on which something came unasked: aiohttp would take it for the next answer.

    So do services, or proxies before them, that answer one request twice; the second may be of what another has asked.
    """

    async def _get(self, key: Any, traces: Any) -> Any:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                break
            connection.close()
        return connection


class Upstream:
    """One service, over a pool of connections of its own."""

    def __init__(self, spec: UpstreamSpec, longest_event: int, http: aiohttp.ClientSession) -> None:
        self.name = spec.name
        self.circuit = Circuit()
        self._limits = spec.limits
        self.longest_event = longest_event
        self._http = http
        self._usual = spec.habits
        self._manner = spec.manner
        self._habits: dict[str, Habits] = {}  # by model, where it has taught us something
        self._url = endpoint(spec.base_url)
        self._key = spec.key.get_secret_value()

    def answer(
        self,
        model: str,
        messages: Sequence[dict[str, Any]],
        fields: Mapping[str, Any],
        until: float,
        relayed: Relayed | None = None,
    ) -> Reading:
        """Make a call.

        Args:
            model: As it is called there.
            messages: What was said.
            fields: What else it is sent, as far as it takes that.
            until: When the turn must be over, by the event loop's clock.
            relayed: The request that this passes on, whose client is told of the answer.
        """
        asking = Asking(self._habits.get(model, self._usual), model, messages, fields, relayed)
        comes_at_once = relayed is not None and not relayed.streams
        return Reading(self, asking, Patience(self._limits, until, comes_at_once=comes_at_once), relayed)

    def open_reader(self, relayed: Relayed | None = None) -> AnswerReader:
        """Make the reader of one answer."""
        return AnswerReader(self.longest_event, self._manner, Retelling(relayed) if relayed else None)

    def succeeded(self) -> None:
        """Note the first piece of an answer."""
        if self.circuit.is_open:
            log.info("the model's service is back", upstream=self.name)
        self.circuit.succeeded()

    def failed(self, failure: UpstreamFailed, now: float) -> None:
        """Note a failure; not its text, which may repeat what was said."""
        status = failure.extra.get("upstream_status")
        log.warning("the model's service failed", upstream=self.name, upstream_status=status)
        was_open = self.circuit.is_open
        if failure.outlook.counts:
            self.circuit.failed(now)
        if failure.outlook.again and failure.wait_s:
            self.circuit.leave_alone(now + min(failure.wait_s, LONGEST_ALONE_S))
        if self.circuit.is_open and not was_open:
            log.error("the model's service is left alone where another has the model", upstream=self.name)

    def complained(self, complaint: Complaint) -> UpstreamFailed:
        """Make the error of a complaint in the middle of an answer."""
        return UpstreamFailed(told(None, complaint, self._key), outlook_of(None, complaint), complaint.wait_s)

    async def ask(self, asking: Asking, patience: Patience) -> aiohttp.ClientResponse:
        """Ask, as the service wants to be asked, and return the beginning of its answer."""
        async with asyncio.timeout_at(patience.deadline):
            while True:
                response = await self._post(asking.body())
                if response.status // 100 == 2:
                    return response
                async with response:
                    refusal = await read_refusal(response)
                if not asking.learns(response.status, refusal.decode("utf-8", "replace")):
                    break
        complaint, status = complaint_of_body(refusal), response.status
        outlook, wait_s = outlook_of(status, complaint), wanted_wait_s(response.headers, complaint)
        raise UpstreamFailed(told(status, complaint, self._key), outlook, wait_s, status)

    def remember(self, asking: Asking) -> None:
        """Keep what helped; a refusal that only repeats the words of somebody who chats teaches nothing."""
        model, habits = asking.model, asking.habits
        if habits == asking.known:
            return
        if len(self._habits) >= MOST_MODELS:
            self._habits.clear()
        self._habits[model] = habits
        log.warning(
            "the model's service wants to be asked otherwise", upstream=self.name, model=model, **asdict(habits)
        )

    async def _post(self, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """Send a request; nothing of it, and no key, goes where a redirect points."""
        return await self._http.post(self._url, data=orjson.dumps(body), allow_redirects=False)


def endpoint(base_url: str) -> URL:
    """Return where chats go; a query stays, since Azure wants its API's version there."""
    base = URL(base_url)
    return base.with_path(base.path.rstrip("/") + CHATS, keep_query=True)


@asynccontextmanager
async def open_upstream(spec: UpstreamSpec, longest_event: int) -> AsyncIterator[Upstream]:
    """Open the pool of connections to one service."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=spec.limits.connect_s)
    connector = Connections(limit=1000)
    # Who compresses holds pieces back until there is enough to compress.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **spec.key_headers}
    cookies = aiohttp.DummyCookieJar()  # calls are of many people: what a service sets with one, no other brings back
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector, cookie_jar=cookies) as http:
        yield Upstream(spec, longest_event, http)
