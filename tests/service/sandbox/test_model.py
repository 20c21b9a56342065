"""The simulated model over real HTTP, by the `openai` client and by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam

from deploy.sandbox.serving import serving
from deploy.sandbox.settings import SandboxSettings
from tests.waiting import until_true

CREATE_TRIP: ChatCompletionToolUnionParam = {
    "type": "function",
    "function": {"name": "create_trip", "parameters": {"type": "object"}},
}


class Model:
    """A client of one simulated model."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def ask(self, text: str, **fields: Any) -> Any:
        body = {"model": "sandbox-small", "messages": [{"role": "user", "content": text}], **fields}
        return self.http.post(f"{self.url}/v1/chat/completions", json=body)

    async def say(self, text: str) -> str | None:
        completion = await self.openai.chat.completions.create(
            model="sandbox-small", messages=[{"role": "user", "content": text}]
        )
        return completion.choices[0].message.content

    async def requests(self, since: int = 0) -> list[dict[str, Any]]:
        async with self.http.get(f"{self.url}/sim/requests", params={"since": since}) as response:
            requests: list[dict[str, Any]] = (await response.json())["requests"]
            return requests


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    settings = SandboxSettings(llm_port=0, avinode_port=0)
    async with serving(settings) as addresses, aiohttp.ClientSession() as http:
        client = Model(addresses.model, http)
        yield client
        await client.openai.close()


async def read_stream(response: aiohttp.ClientResponse, received: list[Any] | None = None) -> list[Any]:
    """Read the events until the stream ends; a broken end raises, and leaves in `received` what came before."""
    received = [] if received is None else received
    async for line in response.content:
        if line.startswith(b"data: "):
            data = line.removeprefix(b"data: ").strip()
            received.append(data.decode() if data == b"[DONE]" else json.loads(data))
    return received


def contents(stream: list[Any]) -> list[str]:
    """Pick the content chunks that directives count: all but the one that names the role."""
    deltas = [event["choices"][0]["delta"] for event in stream if event != "[DONE]" and event["choices"]]
    return [delta["content"] for delta in deltas if "content" in delta and "role" not in delta]


async def test_openai_client_gets_a_whole_answer_with_usage(model: Model) -> None:
    completion = await model.openai.chat.completions.create(
        model="sandbox-large", messages=[{"role": "user", "content": "[echo Hello there]"}]
    )

    [choice] = completion.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there")
    assert choice.finish_reason == "stop"
    assert completion.model == "sandbox-large"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 3


async def test_openai_client_gets_a_stream_with_usage_at_its_end(model: Model) -> None:
    stream = await model.openai.chat.completions.create(
        model="sandbox-small",
        messages=[{"role": "user", "content": "[echo one two three][chunks 4]"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]

    text = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(text) == "one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 4
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


async def test_openai_client_calls_a_tool_and_is_told_its_result(model: Model) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "KTEB to KVNY on 2030-05-04 for 6 passengers"}
    ]
    async with model.openai.chat.completions.stream(
        model="sandbox-small", messages=messages, tools=[CREATE_TRIP]
    ) as stream:
        completion = await stream.get_final_completion()
    [call] = completion.choices[0].message.tool_calls or []
    whole = await model.openai.chat.completions.create(model="sandbox-small", messages=messages, tools=[CREATE_TRIP])
    messages += [
        {
            "role": "assistant",
            "tool_calls": [{"id": call.id, "type": "function", "function": {"name": "create_trip", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "SIM7K2"},
    ]
    told = await model.openai.chat.completions.create(model="sandbox-small", messages=messages, tools=[CREATE_TRIP])

    assert completion.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "create_trip"
    assert json.loads(call.function.arguments) == {
        "segments": [{"from": "KTEB", "to": "KVNY", "date": "2030-05-04"}],
        "pax": 6,
    }
    [same] = whole.choices[0].message.tool_calls or []
    assert (same.id, whole.choices[0].message.content) == (call.id, None)
    assert told.choices[0].message.content == "Done. create_trip answered: SIM7K2"


async def test_a_whole_answer_obeys_too(model: Model) -> None:
    async with model.ask("[think so][refuse no][finish length][unmetered]") as response:
        told = await response.json()
    [choice] = told["choices"]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "no", "reasoning_content": "so"}
    assert choice["finish_reason"] == "length"
    assert "usage" not in told

    async with model.ask("[fail 1]") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (200, "simulated")


async def test_what_is_unmetered_has_no_usage_in_its_stream(model: Model) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    async with model.ask("[echo hi][unmetered]", **asked) as response:
        stream = await read_stream(response)
    assert contents(stream) == ["hi"]
    assert not any("usage" in event for event in stream)


async def test_openai_client_lists_the_models(model: Model) -> None:
    assert [listed.id async for listed in model.openai.models.list()] == ["sandbox-small", "sandbox-large"]
    assert (await model.openai.models.retrieve("sandbox-large")).owned_by == "sandbox (simulated)"
    with pytest.raises(openai.NotFoundError):
        await model.openai.models.retrieve("gpt-0")


async def test_stream_is_in_the_chunks_ordered_and_ends_with_done(model: Model) -> None:
    async with model.ask("[echo abcdefghij][chunks 5]", stream=True) as response:
        stream = await read_stream(response)

    assert response.content_type == "text/event-stream"
    assert contents(stream) == ["ab", "cd", "ef", "gh", "ij"]
    assert stream[0]["choices"][0]["delta"]["role"] == "assistant"
    assert stream[-2]["choices"][0]["finish_reason"] == "stop"
    assert stream[-1] == "[DONE]"
    assert "usage" not in stream[0]


async def test_cut_closes_the_connection_after_n_chunks(model: Model) -> None:
    received: list[Any] = []
    async with model.ask("[echo abcdefghij][chunks 5][cut 3]", stream=True) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_stream(response, received)

    assert contents(received) == ["ab", "cd", "ef"]


async def test_cut_of_a_whole_answer_gives_none(model: Model) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        async with model.ask("[echo abc][cut 1]"):
            pass


async def test_end_is_clean_but_without_a_finish_reason(model: Model) -> None:
    async with model.ask("[echo abcdefghij][chunks 5][end 2]", stream=True) as response:
        stream = await read_stream(response)
    async with model.ask("[echo abcdefghij][chunks 5][end 2]") as response:
        whole = await response.json()

    assert contents(stream) == ["ab", "cd"]
    assert {event["choices"][0]["finish_reason"] for event in stream} == {None}
    assert whole["choices"][0]["message"]["content"] == "abcd"
    assert whole["choices"][0]["finish_reason"] is None


async def test_stall_sends_nothing_more(model: Model) -> None:
    received: list[Any] = []
    async with model.ask("[echo abcdefghij][chunks 5][stall 2]", stream=True) as response:
        reading = asyncio.create_task(read_stream(response, received))
        await until_true(lambda: contents(received) == ["ab", "cd"])
        assert (await asyncio.wait([reading], timeout=0.3))[1] == {reading}
        reading.cancel()

    assert contents(received) == ["ab", "cd"]


@pytest.mark.alone
async def test_stalled_answer_ends_when_its_reader_leaves() -> None:
    async with AsyncExitStack() as server, aiohttp.ClientSession() as http:
        addresses = await server.enter_async_context(serving(SandboxSettings(llm_port=0, avinode_port=0)))
        async with Model(addresses.model, http).ask("[stall 0]", stream=True) as response:
            await response.content.readline()
        started = monotonic()
        await server.aclose()

    assert monotonic() - started < 0.9  # The server waits a second for handlers that go on.


async def test_first_and_slow_take_their_time(model: Model) -> None:
    started = monotonic()
    async with model.ask("[echo abc][chunks 3][first 200][slow 100]", stream=True) as response:
        await response.content.readline()
        first = monotonic() - started
        await read_stream(response)
    last = monotonic() - started

    assert first >= 0.2
    assert last - first >= 0.19


async def test_whole_answer_takes_as_long_as_its_stream(model: Model) -> None:
    started = monotonic()
    await model.say("[echo abc][chunks 3][first 100][slow 50]")

    assert monotonic() - started >= 0.2


async def test_ordered_error_is_in_openai_shape(model: Model) -> None:
    with pytest.raises(openai.RateLimitError):
        await model.say("[error 429]")
    async with model.ask("[error 503]", stream=True) as response:
        error = (await response.json())["error"]

    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert error == {
        "message": "The sandbox was told to answer 503.",
        "type": "server_error",
        "param": None,
        "code": "simulated",
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_raw_text_comes_through_exactly(model: Model, stream: bool) -> None:
    text = "\x00\x07<script>alert(1)</script> **x** \u2028 \U0001f6e9 \ud800 ]"
    async with model.ask(f"[raw {json.dumps(text)}][chunks 7]", stream=stream) as response:
        if stream:
            said = "".join(contents(await read_stream(response)))
        else:
            said = (await response.json())["choices"][0]["message"]["content"]

    assert said == text


async def test_recall_recites_what_the_model_was_sent(model: Model) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": [{"type": "text", "text": "[recall]"}]},
    ]

    completion = await model.openai.chat.completions.create(model="sandbox-small", messages=messages)

    assert json.loads(completion.choices[0].message.content or "") == ["first", "[recall]"]


async def test_requests_show_what_reached_the_model(model: Model) -> None:
    await model.say("one")
    async with model.ask("two [error 500]", stream=True, tools=[CREATE_TRIP]):
        pass
    async with model.http.post(f"{model.url}/v1/chat/completions", data=b"{") as refused:
        assert refused.status == 400

    first, second = await model.requests()
    assert (first["model"], first["stream"], first["tools"]) == ("sandbox-small", False, [])
    assert first["messages"] == [{"role": "user", "content": "one"}]
    assert (second["stream"], second["tools"]) == (True, [CREATE_TRIP])
    assert await model.requests(since=first["id"]) == [second]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_request"),
        (b"\xff\x00", "invalid_request"),
        (b'{"model": "m", "messages": []}', "invalid_request"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "[chunks none]"}]}', "invalid_directive"),
        (b"[" * 1_000_000, "invalid_request"),
    ],
)
async def test_bad_request_is_400_in_openai_shape(model: Model, body: bytes, code: str) -> None:
    async with model.http.post(f"{model.url}/v1/chat/completions", data=body) as response:
        error = (await response.json())["error"]

    assert response.status == 400
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["message"]


async def test_body_that_is_not_what_its_encoding_says_is_400(model: Model) -> None:
    url = f"{model.url}/v1/chat/completions"
    async with model.http.post(url, data=b"plain", headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 400
        error = (await response.json())["error"]

    assert (error["message"], error["code"]) == ("The body is not what its Content-Encoding says", "bad_request")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/v1/models", 200),
        ("POST", "/v1/responses", 404),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/sim/requests?since=x", 400),
    ],
)
async def test_every_answer_says_it_is_simulated(model: Model, method: str, path: str, status: int) -> None:
    async with model.http.request(method, model.url + path) as response:
        body = await response.json()

    assert response.status == status
    assert response.headers["X-Simulator"] == "model-sim"
    assert ("error" in body) == (status >= 400)
