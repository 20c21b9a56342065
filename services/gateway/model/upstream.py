"""Call the model: any OpenAI-compatible service, always streaming.

Our own thin call on aiohttp rather than the openai client: per request it costs a quarter (ARCHITECTURE.md, decisions).
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import aiohttp
import msgspec
import orjson

from shared.errors import ModelAway
from shared.settings import Settings

DATA = b"data:"
DONE = b"[DONE]"
ERROR_LENGTH = 4096  # bytes that are read of a refusal
ERROR_TEXT_LENGTH = 500
# What a service says of these is about the request: a context that is too long, a model that it has not. Of the others
# it may be about our account, which is nobody's business who chats.
ABOUT_THE_REQUEST = frozenset((400, 404, 413, 422))
ACCOUNT = re.compile(r"\b(?:sk|org|proj)[-_][\w*.-]+")
ERROR_NAME = re.compile(r"[A-Za-z_.-]{1,64}")
END_WAIT_S = 0.25


class Function(msgspec.Struct):
    name: str | None = None


class ToolCall(msgspec.Struct):
    function: Function | None = None


class Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct):
    delta: Delta = msgspec.field(default_factory=Delta)
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    """What we read of a `chat.completion.chunk`."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None

    @property
    def text(self) -> str:
        return (self.choices[0].delta.content or "") if self.choices else ""

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None

    @property
    def tools(self) -> list[str]:
        """The names of the tools that the model begins to call."""
        calls = (self.choices[0].delta.tool_calls or []) if self.choices else []
        return [call.function.name for call in calls if call.function and call.function.name]


class Upstream:
    """The model's service, over one pool of connections."""

    def __init__(self, settings: Settings, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._url = settings.openai_base_url.rstrip("/") + "/chat/completions"
        self._headers = {
            "Authorization": f"Bearer {settings.openai_api_key.get_secret_value()}",
            "Content-Type": "application/json",
        }

    async def stream(self, model: str, messages: Sequence[dict[str, Any]], thread_id: UUID) -> AsyncGenerator[Chunk]:
        """Yield the chunks of one answer; whether it came to its end shows in the last one's `finish_reason`.

        Raises:
            ModelAway: The service can't be reached, refused the request, or broke off; the detail says which.
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
        try:
            async with self._http.post(self._url, data=body, headers=self._headers) as response:
                if response.status != 200:
                    raise ModelAway(await _refusal(response), upstream_status=response.status)
                async for chunk in _chunks(response.content):
                    yield chunk
        except aiohttp.ServerTimeoutError as error:
            raise ModelAway("the model's service has gone silent") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModelAway(f"the connection to the model's service broke: {type(error).__name__}") from error


@asynccontextmanager
async def open_upstream(settings: Settings) -> AsyncIterator[Upstream]:
    """Open the pool of connections to the model's service."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=settings.model_silence_s)
    connector = aiohttp.TCPConnector(limit=1000)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        yield Upstream(settings, http)


async def _chunks(content: aiohttp.StreamReader) -> AsyncIterator[Chunk]:
    rest = b""
    async for data in content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(DATA):
                body = line[len(DATA) :].strip()
                if body == DONE:
                    await _read_to_end(content)
                    return
                yield _chunk(body)


async def _read_to_end(content: aiohttp.StreamReader) -> None:
    """Read the end of an answer that is whole already: only then can its connection serve another call."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(END_WAIT_S):
            await content.read()


def _chunk(body: bytes) -> Chunk:
    try:
        chunk = _DECODER.decode(body)
    except msgspec.MsgspecError:
        chunk = _mended_chunk(body)
    if chunk.error is not None:
        raise ModelAway(f"the model's service reported an error{_named(chunk.error)}")
    return chunk


def _mended_chunk(body: bytes) -> Chunk:
    """Read a chunk that strict JSON refuses, as one with half a surrogate pair, which PostgreSQL can't hold either."""
    try:
        value = json.loads(body.decode("utf-8", "replace"))
        return msgspec.convert(_without_surrogates(value), Chunk)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ModelAway("the model's service sent something that is not a chunk") from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return [_without_surrogates(item) for item in value] if isinstance(value, list) else value


async def _refusal(response: aiohttp.ClientResponse) -> str:
    if response.status in (401, 403):  # such an answer may repeat the key, and this text goes to the caller
        return f"the model's service answered {response.status}: it does not take our credentials"
    said: Any = None
    with suppress(ValueError, KeyError, TypeError):
        said = _without_surrogates(json.loads(await response.content.read(ERROR_LENGTH))["error"])
    text = said.get("message") if isinstance(said, dict) else said
    if response.status in ABOUT_THE_REQUEST and isinstance(text, str):
        return f"the model's service answered {response.status}: {ACCOUNT.sub('***', text)[:ERROR_TEXT_LENGTH]}"
    return f"the model's service answered {response.status}{_named(said)}"


def _named(error: Any) -> str:
    """Return the word that programs know an error by, in brackets, if it has one."""
    names = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    name = next((name for name in names if isinstance(name, str) and ERROR_NAME.fullmatch(name)), None)
    return f" ({name})" if name else ""


_DECODER = msgspec.json.Decoder(Chunk)
