"""How a service wants to be asked, learnt from what it refuses with."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.model.configured.habits import OPENING, Asking, Habits
from services.gateway.model.relayed import Relayed

FIELDS = {"stream_options": {"include_usage": True}, "prompt_cache_key": "k", "max_tokens": 9, "temperature": 0.2}
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": st.text(min_size=1)}), min_size=1
)


def forbidden(*names: str) -> str:
    each = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in names
    ]
    return json.dumps({"object": "error", "message": {"detail": each}})


@pytest.mark.parametrize(
    ("status", "said", "gone"),
    [
        (422, forbidden("prompt_cache_key"), {"prompt_cache_key"}),
        (422, forbidden("prompt_cache_key", "stream_options"), {"prompt_cache_key", "stream_options"}),
        (400, "Unrecognized request argument supplied: stream_options", {"stream_options"}),
        (400, "property 'prompt_cache_key' is unsupported", {"prompt_cache_key"}),
        (400, "Unsupported value: 'temperature' does not support 0.2 with this model.", {"temperature"}),
        (400, "stream_options.include_usage: not allowed", {"stream_options"}),
        (400, "include_usage is unknown", {"stream_options"}),
        (400, "Argument not supported on this model: promptCacheKey", {"prompt_cache_key"}),
        (400, "Extra inputs are not permitted: temperature. At most two.", {"temperature"}),
        (400, "Unknown parameter.", set(FIELDS)),
        (422, "Extra inputs are not permitted", set(FIELDS)),
    ],
)
def test_a_field_that_is_refused_is_left_out(status: int, said: str, gone: set[str]) -> None:
    taught = Habits().taught(status, said, FIELDS)
    assert taught is not None
    assert taught.body("m", [], FIELDS).keys() == {"model", "messages", "stream", *FIELDS} - gone


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported value: 'stream' does not support true with this model. Supported values are: false.",
        "Your organization must be verified to stream this model. Please go to: https://platform.openai.com/settings",
        "This model does not support streaming.",
        "Streaming is not supported for this model",
    ],
)
def test_who_does_not_stream_is_asked_for_all_at_once(said: str) -> None:
    taught = Habits().taught(400, said, FIELDS)
    assert taught == Habits(whole=True)
    assert taught.body("m", [], FIELDS) == {"model": "m", "messages": [], "stream": False} | {
        name: value for name, value in FIELDS.items() if name != "stream_options"
    }


def test_who_takes_no_options_of_streams_streams() -> None:
    taught = Habits().taught(400, "this model does not support stream_options", FIELDS)
    assert taught == Habits(refused=frozenset({"stream_options"}))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "context length exceeded"),
        (400, ""),
        (400, "'max_tokens' or 'max_completion_tokens' is too large: 9. This model's maximum context length is 8."),
        (400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8]"),
        (400, "temperature: range: 0..1"),
        (422, '{"loc": ["body", "temperature"], "msg": "Input should be less than or equal to 1"}'),
        (401, "Unknown parameter"),
        (404, "prompt_cache_key"),
        (429, forbidden("prompt_cache_key")),
        (500, forbidden("prompt_cache_key")),
        (503, "roles must alternate"),
    ],
)
def test_other_refusals_teach_nothing(status: int, said: str) -> None:
    assert Habits().taught(status, said, FIELDS) is None


def test_a_limit_of_tokens_takes_the_name_that_the_service_knows_and_goes_if_it_knows_neither() -> None:
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    taught = Habits().taught(400, said, {"max_tokens"})
    assert taught is not None
    assert taught.body("m", [], {"max_tokens": 9})["max_completion_tokens"] == 9
    again = taught.taught(422, forbidden("max_completion_tokens"), {"max_completion_tokens"})
    assert again is not None
    assert again.body("m", [], {"max_tokens": 9}).keys() == {"model", "messages", "stream"}


def test_a_limit_that_its_client_named_otherwise_may_have_another_name_and_one_that_it_wrote_not() -> None:
    fields = {"max_completion_tokens": 9}
    for may_rename, learns in ((frozenset(fields), True), (frozenset[str](), False)):
        asking = Asking(Habits(), "m", [], fields, Relayed(fields, may_rename=may_rename))
        asking.body()
        assert asking.learns(422, forbidden("max_completion_tokens")) is learns
        assert ("max_tokens" in asking.body()) is learns


@pytest.mark.parametrize(
    "said",
    [
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Jinja Exception: After the optional system message, conversation roles must alternate user and assistant",
        "After the (optional) system message(s), user and assistant roles should be alternating.",
        "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
        "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s).",
        'messages: roles must alternate between "user" and "assistant", but found multiple "user" roles in a row',
        "Cannot have consecutive assistant messages",
        "deepseek-reasoner does not support successive user or assistant messages (messages[1] and messages[2]).",
        "Please ensure that multiturn requests alternate between user and model.",
    ],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_service_that_wants_turns_is_sent_turns(status: int, said: str) -> None:
    taught = Habits().taught(status, said, ())
    assert taught is not None
    assert (taught.alternates, taught.without_system) == (True, False)
    again = taught.taught(status, said, ())
    assert again is not None
    assert again.without_system, "a template without a role for the prompt says no more than that"
    assert again.taught(status, said, ()) is None


@given(MESSAGES, st.booleans())
def test_turns_leave_nothing_out(messages: list[dict[str, Any]], with_prompt: bool) -> None:
    prompt = [{"role": "system", "content": "prompt"}] if with_prompt else []
    sent = Habits(alternates=True).arranged([*prompt, *messages])
    roles = [message["role"] for message in sent[len(prompt) :]]
    assert sent[: len(prompt)] == prompt
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    said = "\n\n".join(message["content"] for message in sent[len(prompt) :]).removeprefix(OPENING + "\n\n")
    assert said == "\n\n".join(message["content"] for message in messages)


@pytest.mark.parametrize(
    "said",
    [
        "System role not supported",
        "Developer instruction is not enabled for models/gemma",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Only user and assistant roles are supported!",
        "This model doesn't support system messages. Try again without a system message.",
    ],
)
def test_a_service_without_a_system_role_finds_the_prompt_in_the_first_question(said: str) -> None:
    taught = Habits().taught(400, said, ())
    assert taught is not None
    messages = [
        {"role": "system", "content": "p"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "q"},
    ]
    assert taught.arranged(messages) == [messages[1], {"role": "user", "content": "p\n\nq"}]


def test_a_client_s_own_tools_are_sent_where_ours_were_refused() -> None:
    known = Habits().taught(400, "m does not support tools", {"tools": []})
    assert known is not None
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "look"}}]}
    tools: dict[str, Any] = {"tools": [{"type": "function"}]}
    assert "tools" not in Asking(known, "m", [call], tools).body()
    relayed = Asking(known, "m", [call], tools, Relayed(tools)).body()
    assert (relayed["tools"], relayed["messages"]) == (tools["tools"], [call])


GROQ = (
    "'messages.1' : for 'role:assistant' the following must be satisfied"
    "[('messages.1' : property 'reasoning_content' is unsupported)]"
)
AT = ["body", "messages", 1, "assistant", "reasoning_content"]
MISTRAL = json.dumps({"detail": [{"type": "extra_forbidden", "loc": AT, "input": "x"}]})


@pytest.mark.parametrize(("status", "said"), [(400, GROQ), (422, MISTRAL), (400, "property 'refusal' is unsupported")])
def test_what_another_service_has_said_beside_a_text_is_left_out_where_it_is_refused(status: int, said: str) -> None:
    """OpenAI's SDKs send back the whole message, as the last service has shaped it."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    known = {"role": "assistant", "content": "hi", "tool_calls": [call]}
    echoed = {**known, "reasoning_content": "so", "refusal": None, "annotations": []}
    result = {"role": "tool", "tool_call_id": "c", "content": "r"}
    asking = Asking(Habits(), "m", [echoed, result], {"temperature": 1}, Relayed({"seed": 1}))
    assert asking.body()["messages"] == [echoed, result]
    assert asking.learns(status, said)
    assert asking.body() == {"model": "m", "messages": [known, result], "stream": True, "temperature": 1}
    assert not asking.learns(status, said), "it is said already"


ENUM = "Input should be 'system', 'user', 'assistant' or 'tool'"
ENUM_REFUSED = json.dumps({"detail": [{"type": "enum", "loc": AT[:3], "msg": ENUM, "input": "developer"}]})


@pytest.mark.parametrize(
    ("status", "said"),
    [(422, ENUM_REFUSED), (400, "Unexpected message role."), (500, "Unexpected message role.")],
)
def test_a_developer_is_the_system_to_a_service_that_knows_none(status: int, said: str) -> None:
    told = [{"role": "developer", "content": "p"}, {"role": "user", "content": "q"}]
    asking = Asking(Habits(), "m", told, {}, Relayed({}))
    asking.body()
    assert asking.learns(status, said)
    assert asking.body()["messages"] == [{"role": "system", "content": "p"}, told[1]]
    asking = Asking(Habits(), "m", told[1:], {}, Relayed({}))
    asking.body()
    assert not asking.learns(status, said), "there is no developer"


def test_who_wants_back_what_was_thought_is_sent_that() -> None:
    echoed = {"role": "assistant", "content": "hi", "reasoning_content": "so"}
    asking = Asking(Habits(), "m", [echoed], {}, Relayed({}))
    asking.body()
    assert not asking.learns(400, "The `reasoning_content` in the thinking mode must be passed back to the API.")
    assert asking.body()["messages"] == [echoed]


def test_one_client_s_odd_value_takes_nothing_from_the_others() -> None:
    echoed = {"role": "assistant", "content": "hi", "reasoning_content": 5}
    for said in (
        "messages.0.reasoning_content must be a string",
        '{"loc": ["body", "messages", 0, "reasoning_content"], "msg": "Input should be a valid string"}',
        "reasoning_content: invalid type: integer, expected a string",
    ):
        asking = Asking(Habits(), "m", [echoed], {}, Relayed({}))
        asking.body()
        assert not asking.learns(400, said)


def test_who_misses_what_was_left_out_is_sent_it_from_then_on() -> None:
    echoed = {"role": "assistant", "content": "hi", "reasoning_content": "so"}
    asking = Asking(Habits(plain=True), "m", [{"role": "developer", "content": "p"}, echoed], {}, Relayed({}))
    asking.body()
    assert asking.learns(400, "unknown variant `developer`, expected `system` or `user`")
    assert asking.body()["messages"] == [{"role": "system", "content": "p"}, {"role": "assistant", "content": "hi"}]
    assert asking.learns(400, "The `reasoning_content` in the thinking mode must be passed back to the API.")
    assert asking.body()["messages"] == [{"role": "system", "content": "p"}, echoed]
    later = Asking(asking.habits, "m", [{**echoed, "odd": 1}], {}, Relayed({}))
    later.body()
    assert not later.learns(400, "property 'odd' is unsupported")


def test_fields_without_number_are_nothing_that_a_service_has_said() -> None:
    for name in ("", "k_{}"):
        message = {"role": "user", "content": "q"} | {name.format(number): 1 for number in range(100)}
        asking = Asking(Habits(), "m", [message], {}, Relayed({}))
        asking.body()
        assert not asking.learns(400, "k_1 is unsupported" if name else "that is unsupported")
