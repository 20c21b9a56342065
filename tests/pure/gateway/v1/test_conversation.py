"""What a client of OpenAI's sends as its conversation: what is new of it, what is the same, what is refused."""

from typing import Any

import pytest

from services.gateway.turns.histories import continued
from services.gateway.v1.reading.conversation import MOST_NEW, read_conversation
from shared.errors import Invalid


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def calling(arguments: str, call_id: str = "c1") -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return said("assistant", None, tool_calls=[call])


def refused(*messages: Any) -> str:
    with pytest.raises(Invalid) as error:
        read_conversation(list(messages))
    field: str = error.value.extra["errors"][0]["field"]
    return field


def test_what_follows_the_last_answer_is_new_but_for_instructions() -> None:
    read = read_conversation(
        [
            said("system", "be brief"),
            said("user", "a"),
            said("assistant", "b"),
            said("developer", "x"),
            said("user", "c"),
        ]
    )
    assert [question.content for question in read.new] == ["c"]
    assert read_conversation([said("developer", "x"), said("user", "a"), said("user", "b")]).continues is None


def test_an_answer_that_is_to_go_on_is_no_answer_yet() -> None:
    read = read_conversation([said("user", "a"), said("assistant", "It is")])
    assert [question.content for question in read.new] == ["a"]
    assert read.continues is None


def test_instructions_alone_are_the_question() -> None:
    (question,) = read_conversation([said("system", "say hello")]).new
    assert (question.role, question.content) == ("system", "say hello")


def test_a_history_with_its_answer_is_what_the_next_request_continues() -> None:
    first = read_conversation([said("system", "s"), said("user", "a")])
    told = [said("system", "s"), said("user", [{"type": "text", "text": "a"}]), said("assistant", "b")]
    assert read_conversation([*told, said("user", "c")]).continues == continued(first.history, "b", [])
    assert read_conversation([*told, said("user", "c")]).continues != continued(first.history, "d", [])
    told[0] = said("system", "another")
    assert read_conversation([*told, said("user", "c")]).continues != continued(first.history, "b", [])


@pytest.mark.parametrize(
    "shown",
    [
        said("assistant", " b\n"),
        said("assistant", "<think>hm</think>b"),
        said("assistant", [{"type": "text", "text": "b"}]),
        said("assistant", None, refusal="b"),
        said("assistant", "b", reasoning_content="hm", name="x"),
    ],
)
def test_an_answer_is_the_same_however_its_client_shows_it(shown: dict[str, Any]) -> None:
    first = read_conversation([said("user", "a")])
    assert read_conversation([said("user", "a"), shown, said("user", "c")]).continues == continued(
        first.history, "b", []
    )


def test_a_call_is_the_same_however_its_arguments_are_spelled_and_numbered() -> None:
    part = {"type": "tool-f", "toolCallId": "c1", "state": "input-available", "input": {"a": 1, "b": 2}}
    answered = continued(read_conversation([said("user", "a")]).history, "", [part])
    for call in (calling('{"a":1,"b":2}'), calling('{"b": 2, "a": 1}', "other")):
        result = said("tool", "r", tool_call_id=call["tool_calls"][0]["id"])
        assert read_conversation([said("user", "a"), call, result]).continues == answered
    other = calling('{"a":1,"b":3}')
    assert read_conversation([said("user", "a"), other, said("tool", "r", tool_call_id="c1")]).continues != answered


def test_arguments_that_are_no_json_are_the_same_by_their_text() -> None:
    part = {"type": "tool-f", "toolCallId": "c1", "state": "input-available", "input": '{"a":'}
    answered = continued(read_conversation([said("user", "a")]).history, "", [part])
    told = [said("user", "a"), calling('{"a":'), said("tool", "r", tool_call_id="c1")]
    assert read_conversation(told).continues == answered


def test_results_are_questions_with_the_call_that_they_answer() -> None:
    read = read_conversation(
        [said("user", "a"), calling("{}"), said("tool", "r", tool_call_id="c1"), said("user", "c")]
    )
    assert [(question.role, question.content) for question in read.new] == [("tool", "r"), ("user", "c")]
    assert read.new[0].parts == [{"type": "tool-result", "toolCallId": "c1", "output": "r"}]


def test_what_a_tool_says_in_parts_is_one_text_and_the_same_history() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    told, same = (
        read_conversation([said("user", "q"), calling("{}"), said("tool", result, tool_call_id="c1")])
        for result in (parts, "a\nb")
    )
    assert (told.messages, told.history) == (same.messages, same.history)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([said("user", "a"), said("function", "b")], "messages[1].role"),
        ([said("user", "a"), "b"], "messages[1]"),
        ([{"role": "user"}], "messages[0].content"),
        ([said("user", [{"type": "image_url", "image_url": {"url": "x"}}])], "messages[0].content[0].type"),
        ([said("user", [{"type": "text", "text": "a"}, {"type": "input_audio"}])], "messages[0].content[1].type"),
        ([said("user", [{"type": "text"}])], "messages[0].content[0].text"),
        ([said("user", "a"), said("tool", "r", tool_call_id="c1")], "messages[1].tool_call_id"),
        ([said("user", "a"), calling("{}"), said("tool", "r")], "messages[2].tool_call_id"),
        (
            [said("assistant", None, tool_calls=[{"id": "c1"}]), said("user", "a")],
            "messages[0].tool_calls[0].function.name",
        ),
        ([said("assistant", "b")], "messages"),
        ([said("user", str(number)) for number in range(MOST_NEW + 1)], "messages"),
    ],
)
def test_what_cannot_be_passed_on_is_refused_by_its_place(messages: list[Any], field: str) -> None:
    assert refused(*messages) == field


@pytest.mark.parametrize("messages", [None, [], "hi", {"role": "user"}])
def test_messages_must_be_a_list_with_some(messages: Any) -> None:
    with pytest.raises(Invalid, match="messages: must be a list"):
        read_conversation(messages)
