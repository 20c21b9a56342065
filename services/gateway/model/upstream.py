"""Call the model: any OpenAI-compatible service, always streaming.

Our own thin call on aiohttp rather than the openai client: per request it costs a quarter (ARCHITECTURE.md, decisions).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import aiohttp
import orjson

from services.gateway.model.answer_reader import AnswerReader
from services.gateway.model.chunks import Chunk
from services.gateway.model.complaints import told
from services.gateway.model.patience import Limits, Patience
from services.gateway.model.refusals import complaint_of
from shared.errors import ModelAway
from shared.settings import Settings

END_WAIT_S = 0.25


class Upstream:
    """The model's service, over one pool of connections."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._limits = Limits.of(settings)
        self._longest_event = settings.model_event_bytes
        self._url = settings.openai_base_url.rstrip("/") + "/chat/completions"
        self._key = settings.openai_api_key.get_secret_value()
        self._headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}

    async def stream(self, model: str, messages: Sequence[dict[str, Any]], thread_id: UUID) -> AsyncGenerator[Chunk]:
        """Yield what the service says, until it says no more.

        Raises:
            ModelAway: It can't be reached, refused the request, complained, or broke off; the detail says which.
        """
        body = orjson.dumps(
            {
                "model": model,
                "messages": messages,
                "stream": True,
                "stream_options": {"include_usage": True},
                "prompt_cache_key": str(thread_id),
            }
        )
        patience = Patience(self._limits, asyncio.get_running_loop().time() + self._limits.turn_s)
        try:
            async with await self._ask(body, patience) as response:
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

    async def _ask(self, body: bytes, patience: Patience) -> aiohttp.ClientResponse:
        """Send the question and return the answer's beginning; nothing of it goes where a redirect points."""
        async with asyncio.timeout_at(patience.deadline):
            response = await self._http.post(self._url, data=body, headers=self._headers, allow_redirects=False)
            if response.status == 200:
                return response
            async with response:
                complaint = await complaint_of(response)
        raise ModelAway(told(response.status, complaint, self._key), upstream_status=response.status)

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
