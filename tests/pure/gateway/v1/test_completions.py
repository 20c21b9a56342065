"""What clients of chat completions send beside their messages, and what of it goes on; what is refused, by its name."""

import json
from typing import Any

import pytest

from services.gateway.v1.reading.asked import Asked
from services.gateway.v1.reading.completion_request import read_completion_request
from shared.errors import Invalid

TOOLS = [{"type": "function", "function": {"name": "f"}}]


def read(**more: Any) -> Asked:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}).encode()
    return read_completion_request(body, {"content-type": "application/json"}, 1000)


@pytest.mark.parametrize("choice", [{}, {"tool_choice": None}, {"tool_choice": "auto"}, {"tool_choice": "none"}])
def test_what_goes_with_tools_is_sent_with_some_alone(choice: dict[str, Any]) -> None:
    """Some clients always send `tools: []`, which services refuse (https://github.com/vllm-project/vllm/issues/39741)."""
    without: list[dict[str, Any]] = [{}, {"tools": []}, {"tools": None, "parallel_tool_calls": True}]
    for none in without:
        assert read(**none, **choice, seed=1).relayed.fields == {"seed": 1}
    sent = {name: value for name, value in choice.items() if value is not None}
    fields = read(tools=TOOLS, parallel_tool_calls=False, **choice).relayed.fields
    assert fields == {"tools": TOOLS, "parallel_tool_calls": False, **sent}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_call_of_a_tool_that_there_is_not_is_no_wish_to_pass_on(choice: Any) -> None:
    with pytest.raises(Invalid) as error:
        read(tools=[], tool_choice=choice)
    assert error.value.extra["errors"][0]["field"] == "tool_choice"


def test_a_limit_may_have_its_other_name_where_it_is_the_only_one() -> None:
    assert read(max_tokens=5).relayed.may_rename == {"max_tokens"}
    assert read(max_completion_tokens=5).relayed.may_rename == {"max_completion_tokens"}
    assert read(max_tokens=5, max_completion_tokens=5).relayed.may_rename == read().relayed.may_rename == frozenset()


def test_what_is_null_is_as_good_as_left_out() -> None:
    asked = read(temperature=None, n=None, stop=None, stream=None, tools=None, stream_options=None, metadata=None)
    assert (asked.relayed.fields, asked.streams) == ({}, False)
    assert read(stream_options={"include_usage": True}).relayed.fields == {}, "options of a stream that is none"
