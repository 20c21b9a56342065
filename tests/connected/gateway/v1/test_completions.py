"""`POST /v1/chat/completions` by OpenAI's own client, which knows nothing of us; on a real database and broker."""

import json
from typing import Any

import openai
import pytest

from tests.connected.gateway.stage import Stage

MODEL = "sandbox-small"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def test_a_whole_answer_is_the_services_own(stage: Stage, client: Any) -> None:
    raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=[user("[echo hello]")])
    answer = raw.parse()
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > 0
    assert (answer.id[:9], answer.model) == ("chatcmpl-", MODEL)
    page = (await stage.get(f"/api/chat/sessions/{raw.headers['x-session-id']}/messages")).json()["messages"]
    assert [(each["role"], each["content"], each["status"]) for each in page] == [
        ("user", "[echo hello]", "complete"),
        ("assistant", "hello", "complete"),
    ]


async def test_a_stream_is_relayed_without_the_usage_that_only_we_asked_for(client: Any) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=[user("[echo one two]")], stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


async def test_a_stream_has_its_usage_where_it_is_asked_for(client: Any) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=[user("[echo one two]")], stream=True, stream_options={"include_usage": True}
    )
    last = [chunk async for chunk in stream][-1]
    assert last.choices == []
    assert last.usage.completion_tokens > 0


@pytest.mark.parametrize("streams", [False, True])
async def test_calls_of_the_clients_tools_are_its_own_to_answer(stage: Stage, client: Any, *, streams: bool) -> None:
    asked = [user('[tool get_weather {"city": "Nice"}]')]
    said = {"model": MODEL, "tools": [WEATHER], "extra_headers": {"X-Session-Id": "s1"}}
    if streams:
        async with client.chat.completions.stream(messages=asked, **said) as stream:
            answer = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.create(messages=asked, **said)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Nice"})
    page = (await stage.get("/api/chat/sessions/s1/messages")).json()["messages"]
    assert page[-1]["status"] == "complete"
    assert page[-1]["parts"][-1] == {
        "type": "tool-get_weather",
        "toolCallId": call.id,
        "state": "input-available",
        "input": {"city": "Nice"},
    }
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    told = [*asked, choice.message.model_dump(exclude_none=True), result]
    after = await client.chat.completions.create(messages=told, **said)
    assert after.choices[0].finish_reason == "stop"
    page = (await stage.get("/api/chat/sessions/s1/messages")).json()["messages"]
    assert [each["role"] for each in page] == ["user", "assistant", "tool", "assistant"]
    assert page[2]["content"] == "sunny"


async def test_a_session_that_is_named_goes_on(stage: Stage, client: Any) -> None:
    for text in ("[echo one]", "[echo two]"):
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[user(text)], metadata={"session_id": "s1"}
        )
        assert raw.headers["x-session-id"] == "s1"
    page = (await stage.get("/api/chat/sessions/s1/messages")).json()["messages"]
    assert [each["content"] for each in page] == ["[echo one]", "one", "[echo two]", "two"]
    assert page[2]["parent_id"] == page[1]["id"]


async def test_what_the_service_refuses_is_refused_with_its_words(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=MODEL, messages=[user("[error 400]")], stream=True)
    assert refused.value.type == "invalid_request_error"


async def test_an_unknown_model_and_several_answers_are_refused(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model=MODEL, messages=[user("hi")], n=5)
    assert refused.value.param == "n"
