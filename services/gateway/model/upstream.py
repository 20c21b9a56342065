"""Call the model: any OpenAI-compatible service, always streaming.

Our own thin call on aiohttp rather than the openai client: per request it costs a quarter (ARCHITECTURE.md, decisions).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import structlog

from services.gateway.model.answer_reader import AnswerReader
from services.gateway.model.chunks import Chunk
from services.gateway.model.complaints import told
from services.gateway.model.habits import Habits
from services.gateway.model.patience import Limits, Patience
from services.gateway.model.refusals import complaint_of_body, read_refusal
from shared.errors import ModelAway
from shared.settings import Settings

END_WAIT_S = 0.25
MUST_KNOW = frozenset(("model", "messages", "stream"))
MOST_LESSONS = 6  # of one call; each costs a request
MOST_MODELS = 1000  # that are remembered; callers name them

log = structlog.get_logger(__name__)


class Upstream:
    """The model's service, over one pool of connections."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._limits = Limits.of(settings)
        self._longest_event = settings.model_event_bytes
        self._usual = Habits()
        self._habits: dict[str, Habits] = {}  # by model, where it has taught us something
        self._url = settings.openai_base_url.rstrip("/") + "/chat/completions"
        self._key = settings.openai_api_key.get_secret_value()
        self._headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}

    async def stream(self, model: str, messages: Sequence[dict[str, Any]], thread_id: UUID) -> AsyncGenerator[Chunk]:
        """Yield what the service says, until it says no more.

        Raises:
            ModelAway: It can't be reached, refused the request, complained, or broke off; the detail says which.
        """
        fields = {"stream_options": {"include_usage": True}, "prompt_cache_key": str(thread_id)}
        patience = Patience(self._limits, asyncio.get_running_loop().time() + self._limits.turn_s)
        try:
            async with await self._ask(model, messages, fields, patience) as response:
                content, reader = response.content, AnswerReader(self._longest_event)
                with patience.lasting(lambda: content.set_exception(TimeoutError())):
                    data = b" "
                    while data:
                        data = await content.readany()
                        chunks = reader.feed(data) if data else reader.close()
                        patience.pieces_came(chunks)
                        for chunk in chunks:
                            yield self._checked(chunk)
                            if chunk.is_done:
                                await _read_to_end(content)
                                return
                        self._check_length(reader)
        except aiohttp.ServerTimeoutError as error:
            raise ModelAway("the model's service cannot be reached") from error
        except TimeoutError as error:
            raise ModelAway(patience.impatience()) from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelAway(f"the connection to the model's service broke: {type(error).__name__}") from error

    async def _ask(
        self, model: str, messages: Sequence[dict[str, Any]], fields: dict[str, Any], patience: Patience
    ) -> aiohttp.ClientResponse:
        """Ask, as the service wants to be asked, and return the beginning of its answer."""
        known = habits = self._habits.get(model, self._usual)
        async with asyncio.timeout_at(patience.deadline):
            for _ in range(MOST_LESSONS):
                body = habits.body(model, messages, fields)
                response = await self._post(body)
                if response.status // 100 == 2:
                    self._remember(model, known, habits)
                    return response
                async with response:
                    refusal = await read_refusal(response)
                taught = habits.taught(response.status, refusal.decode("utf-8", "replace"), body.keys() - MUST_KNOW)
                if taught is None:
                    break
                habits = taught
        complaint = complaint_of_body(refusal)
        raise ModelAway(told(response.status, complaint, self._key), upstream_status=response.status)

    async def _post(self, body: dict[str, Any]) -> aiohttp.ClientResponse:
        """Send a request; nothing of it, and no key, goes where a redirect points."""
        return await self._http.post(self._url, data=orjson.dumps(body), headers=self._headers, allow_redirects=False)

    def _remember(self, model: str, known: Habits, habits: Habits) -> None:
        """Keep what helped; a refusal that only repeats the words of somebody who chats teaches nothing."""
        if habits == known:
            return
        if len(self._habits) >= MOST_MODELS:
            self._habits.clear()
        self._habits[model] = habits
        log.warning("the model's service wants to be asked otherwise", model=model, **asdict(habits))

    def _checked(self, chunk: Chunk) -> Chunk:
        if chunk.complaint is not None:
            raise ModelAway(told(None, chunk.complaint, self._key))
        return chunk

    def _check_length(self, reader: AnswerReader) -> None:
        if reader.is_too_long:
            raise ModelAway(f"the model's service sent an event of more than {self._longest_event} bytes")


async def _read_to_end(content: aiohttp.StreamReader) -> None:
    """Read the end of an answer that is whole already: only then can its connection serve another call."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(END_WAIT_S):
            while await content.readany():
                pass


@asynccontextmanager
async def open_upstream(settings: Settings) -> AsyncIterator[Upstream]:
    """Open the pool of connections to the model's service."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.model_connect_s)
    connector = aiohttp.TCPConnector(limit=1000)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        yield Upstream(settings, http)
