"""What Python's clients of OpenAI do, against a gateway: `python talk.py GATEWAY TOKEN`. None of them knows of it."""

import asyncio
import json
import os
import sys
import time
import urllib.request
from typing import Any

import openai
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

GATEWAY, TOKEN = sys.argv[1:]
MODEL = "sandbox-small"
os.environ |= {"OPENAI_BASE_URL": f"{GATEWAY}/v1", "OPENAI_API_KEY": TOKEN}
set_tracing_disabled(disabled=True)


def read(path: str) -> Any:
    request = urllib.request.Request(GATEWAY + path, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - the gateway's
        return json.load(answer)


def messages(session_id: str) -> list[list[str]]:
    page = read(f"/api/chat/sessions/{session_id}/messages")["messages"]
    return [[each["role"], each["content"], each["status"]] for each in page]


def newest() -> str:
    session_id: str = read("/api/chat/sessions?limit=1")["sessions"][0]["id"]
    return session_id


def asks(text: str) -> Any:
    return [{"role": "user", "content": text}]


def openai_streams_and_raw_answers() -> None:
    client = openai.OpenAI()
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).object == "model"
    create = client.chat.completions.with_streaming_response.create
    with create(model=MODEL, messages=asks("[echo hello]")) as answer:
        assert answer.headers["x-session-id"]
        assert answer.parse().choices[0].message.content == "hello"
    with client.chat.completions.stream(model=MODEL, messages=asks("[echo hello there]")) as stream:
        assert stream.get_final_completion().choices[0].message.content == "hello there"


def openai_leaves_in_the_middle_and_the_answer_goes_on() -> None:
    client = openai.OpenAI()
    said = asks("[echo one two three] [chunks 3] [slow 100]")
    with client.chat.completions.with_streaming_response.create(model=MODEL, messages=said, stream=True) as answer:
        session_id = answer.headers["x-session-id"]
        next(answer.iter_lines())
    deadline = time.monotonic() + 20
    while len(messages(session_id)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert messages(session_id)[-1] == ["assistant", "one two three", "complete"]


def openai_tells_errors_apart() -> None:
    client = openai.OpenAI(max_retries=0)
    for path in ("/nothing", "/models/unknown"):
        try:
            client.get(path, cast_to=object)
        except openai.NotFoundError as error:
            assert error.type == "invalid_request_error", error
        else:
            raise AssertionError(path)
    try:
        openai.OpenAI(api_key="sk-wrong", max_retries=0).chat.completions.create(model=MODEL, messages=asks("hi"))
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key", error
    else:
        raise AssertionError("a wrong key")


def openai_retries_are_one_turn() -> None:
    client = openai.OpenAI(max_retries=1)
    try:
        client.chat.completions.create(model=MODEL, messages=asks("[error 503]"))
    except openai.InternalServerError as error:
        session_id = error.response.headers["x-session-id"]
        assert error.response.request.headers["x-stainless-retry-count"] == "1"
    else:
        raise AssertionError("an error was no error")
    assert [each[0] for each in messages(session_id)] == ["user", "assistant", "assistant"]  # of each try an answer


def langchain_goes_on_by_its_history() -> None:
    _langchain(ChatOpenAI(model=MODEL))


def langchain_goes_on_by_responses() -> None:
    _langchain(ChatOpenAI(model=MODEL, use_responses_api=True))


def _langchain(chat: Any) -> None:
    @tool  # type: ignore[untyped-decorator]
    def get_weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    model = chat.bind_tools([get_weather])
    history: list[Any] = [HumanMessage('[tool get_weather {"city": "Nice"}]')]
    answer = model.invoke(history)
    history += [answer, *(get_weather.invoke(call) for call in answer.tool_calls)]
    history.append(model.invoke(history))
    for number in range(3):
        history.append(HumanMessage(f"[echo {number}]"))
        pieces = list(model.stream(history))
        whole = pieces[0]
        for piece in pieces[1:]:
            whole += piece
        history.append(whole)
        assert whole.text == str(number), whole
    said = messages(newest())
    assert [each[0] for each in said] == ["user", "assistant", "tool", "assistant", *["user", "assistant"] * 3], said
    assert said[2][1] == "sunny in Nice"


class Place(BaseModel):
    city: str


def openai_parses_what_has_a_form() -> None:
    client = openai.OpenAI()
    text = '[echo {"city": "Nice"}]'
    completion = client.chat.completions.parse(model=MODEL, messages=asks(text), response_format=Place)
    response = client.responses.parse(model=MODEL, input=text, text_format=Place)
    with client.responses.stream(model=MODEL, input=text, text_format=Place) as stream:
        streamed = stream.get_final_response()
    places = (completion.choices[0].message.parsed, response.output_parsed, streamed.output_parsed)
    assert places == (Place(city="Nice"),) * 3, places


def openai_aborts_a_response_and_stops_another() -> None:
    asyncio.run(_abort_and_stop())


async def _abort_and_stop() -> None:
    client = openai.AsyncOpenAI()
    create = client.responses.with_streaming_response.create
    async with create(model=MODEL, input="[echo one two] [chunks 2] [slow 100]", stream=True) as answer:
        aborted, left = answer.headers["x-session-id"], await anext(answer.iter_lines())
    assert left == "event: response.created", left
    ended = []
    async for event in await client.responses.create(
        model=MODEL, input="[echo a b] [chunks 2] [slow 20000]", stream=True
    ):
        if event.type == "response.created":
            assert (await client.responses.cancel(event.response.id)).status == "cancelled"
        ended.append(event)
    assert ended[-1].type == "response.completed", ended[-1]
    deadline = time.monotonic() + 20
    while len(messages(aborted)) < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert messages(aborted)[-1] == ["assistant", "one two", "complete"]


def openai_goes_on_from_a_response() -> None:
    client = openai.OpenAI()
    first = client.responses.create(model=MODEL, input="[echo one]", instructions="Be brief.")
    with client.responses.stream(model=MODEL, input="[recall]", previous_response_id=first.id) as stream:
        second = stream.get_final_response()
    assert (first.output_text, json.loads(second.output_text)) == ("one", ["[echo one]", "[recall]"])
    assert client.responses.retrieve(second.id).output_text == second.output_text
    client.responses.delete(second.id)
    try:
        client.responses.retrieve(second.id)
    except openai.NotFoundError as error:
        assert error.type == "invalid_request_error", error
    else:
        raise AssertionError("a response that was deleted")


def openai_answers_a_function_of_a_response() -> None:
    client = openai.OpenAI()
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool: Any = {"type": "function", "name": "get_weather", "parameters": parameters, "strict": False}
    asked: Any = {"model": MODEL, "tools": [tool]}
    first = client.responses.create(input='[tool get_weather {"city": "Nice"}]', **asked)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Nice"}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    events = list(client.responses.create(input=[result], previous_response_id=first.id, stream=True, **asked))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [each[0] for each in messages(newest())] == ["user", "assistant", "tool", "assistant"]


@function_tool  # type: ignore[untyped-decorator]
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


async def _stream_agent(agent: Any, text: str, previous: str | None = None) -> Any:
    result = Runner.run_streamed(agent, text, previous_response_id=previous)
    kinds = {event.type async for event in result.stream_events()}
    assert "raw_response_event" in kinds, kinds
    return result


def agents_call_their_tool_by_chat_completions() -> None:
    model = OpenAIChatCompletionsModel(model=MODEL, openai_client=openai.AsyncOpenAI())
    asyncio.run(_call_tool(Agent(name="a", instructions="Be brief.", tools=[get_weather], model=model)))


async def _call_tool(agent: Any) -> None:
    result = await Runner.run(agent, '[tool get_weather {"city": "Cannes"}]')
    assert result.final_output
    said = messages(newest())
    assert [each[0] for each in said] == ["user", "assistant", "tool", "assistant"], said
    assert said[2][1] == "sunny in Cannes"


def agents_call_their_tool_and_stream_by_responses() -> None:
    agent = Agent(name="a", instructions="Be brief.", tools=[get_weather], model=MODEL)

    async def run() -> None:  # in one loop: the SDK's client is one for all
        await _call_tool(agent)
        first = await _stream_agent(agent, '[tool get_weather {"city": "Nice"}]')
        session_id = newest()
        second = await _stream_agent(agent, "[echo bye]", first.last_response_id)
        assert (second.final_output, newest()) == ("bye", session_id)
        roles = [each[0] for each in messages(session_id)]
        assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant"], roles

    asyncio.run(run())


SCENARIOS = (
    openai_streams_and_raw_answers,
    openai_leaves_in_the_middle_and_the_answer_goes_on,
    openai_tells_errors_apart,
    openai_retries_are_one_turn,
    langchain_goes_on_by_its_history,
    langchain_goes_on_by_responses,
    openai_parses_what_has_a_form,
    openai_aborts_a_response_and_stops_another,
    openai_goes_on_from_a_response,
    openai_answers_a_function_of_a_response,
    agents_call_their_tool_by_chat_completions,
    agents_call_their_tool_and_stream_by_responses,
)
for scenario in SCENARIOS:
    scenario()
    print(scenario.__name__)
