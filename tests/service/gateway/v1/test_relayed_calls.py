"""Calls of tools as services really give them, and as a client of OpenAI's can read them."""

from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.service.gateway.model.stand_in import DONE, chunk
from tests.service.gateway.v1.relaying import ROLE, chunks, relayed, relayed_whole

PLACE = '{"city": "Nice"}'


def call(index: int | None = 0, **said: Any) -> dict[str, Any]:
    """Spell a piece of a call, whose `name` and `arguments` are its function's."""
    function = {name: said.pop(name) for name in ("name", "arguments") if name in said}
    numbered = {} if index is None else {"index": index}
    return {**numbered, "type": "function", "function": function, **said}


def begun(**said: Any) -> dict[str, Any]:
    return call(**{"id": "c1", "name": "f", "arguments": "", **said})


async def read(*pieces: list[dict[str, Any]], ends: str = "tool_calls") -> tuple[list[Any], list[Any]]:
    """Relay pieces of calls; return the calls as OpenAI's SDK puts them together, and as they are kept."""
    said, answer = await relayed(ROLE, *(chunk(tool_calls=each) for each in pieces), chunk(ends), DONE)
    state = ChatCompletionStreamState()
    for each in chunks(said):
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    calls = state.get_final_completion().choices[0].message.tool_calls or []
    told = [(each.id, each.type, each.function.name, each.function.arguments) for each in calls]
    kept = [(part["toolCallId"], part["type"], part["input"]) for part in answer.parts]
    assert [each[0] for each in told] == [each[0] for each in kept]
    return told, kept


@pytest.mark.parametrize(
    "again",
    [
        {"id": "c1", "name": "f"},
        {"id": "c1"},
        {"name": "f"},
        {"id": "", "name": ""},
        {"id": None, "name": None},
        {"id": "", "name": "null", "type": "FUNCTION"},
    ],
)
async def test_a_name_that_is_said_again_is_no_longer_one(again: dict[str, Any]) -> None:
    """MiniMax, GLM and others repeat it: https://github.com/NousResearch/hermes-agent/issues/8259."""
    told, _ = await read([begun()], [call(arguments='{"city": ', **again)], [call(arguments='"Nice"}', **again)])
    assert told == [("c1", "function", "f", PLACE)]


@pytest.mark.parametrize("nothing", [{"arguments": ""}, {"arguments": None}, {}, {"arguments": " "}])
async def test_a_call_without_arguments_has_those_of_a_tool_that_takes_none(nothing: dict[str, Any]) -> None:
    """Who parses them breaks at nothing: https://github.com/openai/openai-python/pull/3502."""
    piece = call(id="c1", name="f", **nothing)
    said, _ = await relayed(ROLE, chunk(tool_calls=[piece]), chunk("stop"), DONE)
    assert isinstance(chunks(said)[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"], str)
    told, kept = await read([piece], ends="stop")
    assert (told[0][3].strip(), kept) == ("{}", [("c1", "tool-f", {})])
    two, _ = await read([piece, call(1, id="c2", name="g", arguments=PLACE)])
    assert [each[3].strip() for each in two] == ["{}", PLACE]
    message = {"role": "assistant", "content": None, "tool_calls": [call(None, id="c1", name="f", **nothing)]}
    whole, answer = await relayed_whole({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert whole["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert answer.parts[0]["input"] == {}


async def test_what_ends_with_its_first_piece_lacks_no_arguments_either() -> None:
    said, _ = await relayed(chunk("tool_calls", role="assistant", tool_calls=[begun()]), DONE)
    assert chunks(said)[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == "{}"


async def test_arguments_still_come_where_each_piece_says_that_it_ends() -> None:
    pieces = (chunk("stop", tool_calls=[begun()]), chunk("stop", tool_calls=[call(arguments=PLACE)]))
    _, answer = await relayed(ROLE, *pieces, DONE)
    assert answer.parts[0]["input"] == {"city": "Nice"}


async def test_a_call_that_was_cut_off_gets_no_arguments() -> None:
    for cut in ((), (chunk("length"), DONE)):
        said, answer = await relayed(ROLE, chunk(tool_calls=[begun()]), *cut)
        assert b'"{}"' not in said
        assert all(part["input"] == "" for part in answer.parts)


@pytest.mark.parametrize("none", [{}, {"id": None}, {"id": ""}])
async def test_a_call_without_an_id_has_one_of_its_own(none: dict[str, Any]) -> None:
    """The AI SDK ends with an error at such a call, and nobody can answer it."""
    first, second = call(name="f", arguments=PLACE, **none), call(1, name="f", arguments=PLACE, **none)
    told, _ = await read([first], [second])
    ids = {each[0] for each in told}
    assert len(ids) == 2
    assert all(each.startswith("call_") for each in ids)
    again, _ = await read([first])
    assert again[0][0] not in ids


async def test_of_two_calls_with_one_id_each_has_its_own() -> None:
    told, _ = await read([begun(arguments=PLACE)], [call(1, id="c1", name="g", arguments=PLACE)])
    assert (told[0][0], told[1][2]) == ("c1", "g")
    assert told[1][0] != "c1"


@pytest.mark.parametrize("odd", [{}, {"type": None}, {"type": "FUNCTION"}])
async def test_a_call_says_that_it_is_one(odd: dict[str, Any]) -> None:
    piece = {name: value for name, value in begun(arguments=PLACE).items() if name != "type"} | odd
    told, _ = await read([piece])
    assert told == [("c1", "function", "f", PLACE)]
    message = {"role": "assistant", "content": None, "tool_calls": [piece]}
    whole, _ = await relayed_whole({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert whole["choices"][0]["message"]["tool_calls"][0]["type"] == "function"


async def test_what_stands_beside_a_call_that_is_mended_stays() -> None:
    said, _ = await relayed(
        ROLE, chunk(tool_calls=[begun(id="", extra_content={"signature": "s"})]), chunk("stop"), DONE
    )
    assert chunks(said)[1]["choices"][0]["delta"]["tool_calls"][0]["extra_content"] == {"signature": "s"}


async def test_a_call_of_a_tool_that_is_no_function_is_relayed_as_it_comes() -> None:
    piece = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "run", "input": "1"}}
    said, _ = await relayed(ROLE, chunk(tool_calls=[piece]), chunk("tool_calls"), DONE)
    assert chunks(said)[1]["choices"][0]["delta"]["tool_calls"] == [piece]
