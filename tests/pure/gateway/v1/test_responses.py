"""What clients of OpenAI's Responses send, in the words of chat completions; what is refused, by its place."""

import json
from typing import Any

import pytest

from services.gateway.turns.histories import with_answer
from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.conversation import read_conversation
from services.gateway.v1.reading.response_input import ItemsNamed
from services.gateway.v1.reading.response_request import (
    NoSuchPrevious,
    read_response_request,
    response_id,
    turn_of,
    turn_of_item,
)
from shared.errors import Invalid
from shared.ids import new_id

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}', "status": "x"}
JSON = {"content-type": "application/json"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}


def said(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def read(sent: Any = "hi", **more: Any) -> Asked:
    body = json.dumps({"model": "m", "input": sent, **more}).encode()
    return read_response_request(body, JSON, 1000)


def test_a_text_is_a_users_message_and_instructions_come_first_and_are_in_no_history() -> None:
    asked = read("hi", instructions="be brief")
    assert (asked.prompt, asked.conversation.messages) == ((said("be brief", "system"),), [said("hi")])
    assert asked.conversation.history == read("hi").conversation.history
    assert asked.told["instructions"] == "be brief"


def test_items_of_one_answer_are_one_message_and_its_thoughts_are_left_out() -> None:
    answer = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so", "annotations": []}]},
        CALL,
        {**CALL, "call_id": "c2"},
    ]
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    second = {**RESULT, "call_id": "c2", "output": parts}
    told = read([said("hi", type="message"), *answer, RESULT, second]).conversation.messages
    calls = [
        {"id": each, "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}} for each in ("c1", "c2")
    ]
    assert told == [
        said("hi"),
        {"role": "assistant", "content": "so", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "a\nb"},
    ]


def test_texts_between_which_a_model_thought_are_one_answers() -> None:
    told = read([said("hi"), said("a", "assistant"), {"type": "reasoning"}, said("b", "assistant"), said("bye")])
    assert [each["content"] for each in told.conversation.messages] == ["hi", "ab", "bye"]


def test_items_that_are_only_named_are_looked_up_and_are_then_as_if_they_had_been_sent() -> None:
    turn_id = new_id()
    name = f"msg_{turn_id.hex}_1"
    sent = [said("hi"), {"type": "item_reference", "id": name}, said("bye")]
    body = json.dumps({"model": "m", "input": sent}).encode()
    with pytest.raises(ItemsNamed) as named:
        read_response_request(body, JSON, 1000)
    assert named.value.names == {name}
    assert turn_of_item(name) == turn_id
    item = {"id": name, **said("hello", "assistant", type="message")}
    asked = read_response_request(body, JSON, 1000, {name: item})
    assert asked.conversation == read([said("hi"), item, said("bye")]).conversation
    with pytest.raises(Invalid) as error:
        read_response_request(body, JSON, 1000, {})
    assert error.value.extra["errors"][0]["field"] == "input[1].id"
    assert [turn_of_item(each) for each in (f"resp_{turn_id.hex}", "msg_1", "")] == [None] * 3


def test_only_what_follows_the_last_answer_is_new_with_what_a_developer_says() -> None:
    asked = read([said("be brief", "developer"), said("hi")])
    assert [(each.role, each.content) for each in asked.conversation.new] == [("system", "be brief"), ("user", "hi")]
    later = read([said("be brief", "developer"), said("hi"), said("hello", "assistant"), said("bye")])
    assert [each.content for each in later.conversation.new] == ["bye"]
    kept = with_answer(asked.conversation.history or "", "hello", [{"type": "text", "text": "hello"}])
    assert later.conversation.continues == kept


def test_a_history_is_the_same_as_that_of_chat_completions() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    chat = [said("hi"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    result = {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    asked = read([said("hi"), CALL, RESULT])
    assert asked.conversation.continues == read_conversation([*chat, result]).continues
    assert asked.conversation.history == read_conversation([*chat, result]).history


def test_what_goes_on_from_a_response_is_found_by_that_alone() -> None:
    turn_id = new_id()
    asked = read([RESULT], previous_response_id=response_id(turn_id))
    assert (asked.previous, asked.results) == (turn_id, (("c1", "input[0]"),))
    assert asked.conversation.continues is asked.conversation.history is None
    for wrong in ("resp_x", "", f"resp_{turn_id}"):
        with pytest.raises(NoSuchPrevious) as error:
            read(previous_response_id=wrong)
        assert error.value.extra["openai_code"] == "previous_response_not_found"
    assert turn_of(response_id(turn_id)) == turn_id


def test_parameters_are_sent_as_chat_completions_have_them() -> None:
    tool = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": None}
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    asked = read(
        tools=[tool],
        tool_choice={"type": "function", "name": "f"},
        text={"format": form, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        max_output_tokens=5,
        temperature=0.5,
        top_k=3,
        metadata={"session_id": "s1", "a": "b"},
        store=False,
        stream=True,
        stream_options={"include_obfuscation": False},
        include=["reasoning.encrypted_content"],
        background=False,
        truncation="disabled",
    )
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert asked.relayed.fields == {
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {name: form[name] for name in ("name", "schema", "strict")},
        },
        "verbosity": "low",
        "reasoning_effort": "low",
        "max_completion_tokens": 5,
        "temperature": 0.5,
        "top_k": 3,
    }
    assert (asked.streams, asked.stores, asked.relayed.streams) == (True, False, True)
    assert (asked.naming.session_id, asked.naming.metadata) == ("s1", {"a": "b"})
    assert read(text={"format": {"type": "text"}}).relayed.fields == {}


def test_what_goes_with_tools_is_sent_with_some_alone() -> None:
    """Codex always says how tools may be called; chat completions refuse that where there are none."""
    assert read(tools=[], tool_choice="auto", parallel_tool_calls=True).relayed.fields == {}
    named = [{"type": "function", "name": name} for name in ("f", "g")]
    sent = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
    fields = {"tool_choice": "auto", "parallel_tool_calls": False}
    assert read(tools=named, **fields).relayed.fields == {"tools": sent, **fields}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": named[1:]}
    assert read(tools=named, tool_choice=allowed).relayed.fields == {"tools": sent[1:], "tool_choice": "required"}


def test_what_asks_for_nothing_that_there_is_here_is_taken_and_not_sent() -> None:
    asked = read(
        include=["web_search_call.action.sources", "code_interpreter_call.outputs"],
        max_tool_calls=3,
        top_logprobs=0,
        reasoning={"context": "current_turn", "mode": "standard", "effort": None},
    )
    assert asked.relayed.fields == {}
    assert asked.told["max_tool_calls"] == 3
    hints = {"service_tier": "auto", "safety_identifier": "s", "prompt_cache_key": "k", "user": "u"}
    assert (read(**hints).relayed.fields, read(**hints).told) == (hints, hints)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [said("x", "assistant")]}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [said("x", "tool")]}, "input[0].role"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": ["x"]}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "item_reference", "id": 1}]}, "input[0].type"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
        ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{**CALL, "name": None}]}, "input[0].name"),
        ({"input": [said("hi"), RESULT]}, "input[1].call_id"),
        ({"input": [said("hi"), CALL, {**RESULT, "output": None}]}, "input[2].output"),
        ({"instructions": ["x"]}, "instructions"),
        ({"previous_response_id": 1}, "previous_response_id"),
        ({"store": "no"}, "store"),
        ({"stream": 1}, "stream"),
        ({"max_output_tokens": "5"}, "max_output_tokens"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"include": [1]}, "include"),
        ({"max_tool_calls": "3"}, "max_tool_calls"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}, "tools": []}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "tools": ["f"]}}, "tool_choice.tools[0]"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": ["f"]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"tool_choice": ["x"]}, "tool_choice"),
        ({"metadata": {"session_id": "a b"}}, "metadata.session_id"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as error:
        read(**{"sent": changes.pop("input", "hi"), **changes})
    assert error.value.extra["errors"][0]["field"] == field
