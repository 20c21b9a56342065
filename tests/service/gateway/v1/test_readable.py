"""What a client with types can read of an answer, however its service spells it."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from services.gateway.model.relayed import Relayed
from tests.service.gateway.model.stand_in import DONE, chunk, event
from tests.service.gateway.v1.relaying import chunks, relayed, relayed_whole

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "m"}
ODD = [
    {"id": None},
    {"id": 7},
    {"created": 1.5},
    {"created": "1700000000"},
    {"created": None},
    {"model": None},
    {"object": "text_completion"},
    {"object": ""},
    {"service_tier": "on_demand"},
    {"service_tier": "standard"},
    {"usage": {"prompt_tokens_details": {"cached_tokens": 0}}},
    {"usage": {"prompt_tokens": None, "completion_tokens": 2, "total_tokens": None}},
    {"usage": {"prompt_tokens": 1.0, "completion_tokens": 2.0, "total_tokens": 3.0}},
    {"usage": {"prompt_tokens": 1, "total_tokens": 1}},
]


def events(odd: dict[str, Any]) -> list[bytes]:
    """Spell an answer whose events are all odd."""
    head = {**HEAD, "object": "chat.completion.chunk", **odd}
    deltas: tuple[dict[str, Any], ...] = ({"role": "assistant", "content": ""}, {"content": "hi"}, {})
    reasons = (None, None, "stop")
    return [
        event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        for delta, reason in zip(deltas, reasons, strict=True)
    ]


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
async def test_every_event_has_what_its_clients_know(odd: dict[str, Any]) -> None:
    """https://github.com/pydantic/pydantic-ai/issues/2499, https://github.com/theopenco/llmgateway/pull/2861."""
    said, answer = await relayed(*events(odd), DONE, request=Relayed(wants_usage=True))
    told = [ChatCompletionChunk.model_validate(each, strict=True) for each in chunks(said)]
    assert "".join(each.choices[0].delta.content or "" for each in told if each.choices) == "hi"
    assert len({each.id for each in told[:3]}) == 1
    assert answer.content == "hi"


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
async def test_a_whole_answer_has_what_its_clients_know(odd: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "hi"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    whole, _ = await relayed_whole({**HEAD, "object": "chat.completion", "choices": choices, "odd": 1, **odd})
    assert ChatCompletion.model_validate(whole, strict=True).choices[0].message.content == "hi"
    assert whole["odd"] == 1


async def test_what_openai_says_is_relayed_byte_for_byte() -> None:
    counted = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": None}
    for said in ({"service_tier": "default", "usage": None}, {"service_tier": None}, {"usage": counted}):
        pieces = events({**said, "system_fingerprint": "fp", "obfuscation": "x"})
        assert (await relayed(*pieces, DONE, request=Relayed(wants_usage=True)))[0].startswith(b"".join(pieces))


async def test_only_the_end_may_be_odd() -> None:
    begin, text, _ = events({})
    *_, end = events({"service_tier": "on_demand"})
    said, _ = await relayed(begin, text, end, DONE)
    assert said.startswith(begin + text)
    assert "service_tier" not in chunks(said)[-1]


async def test_it_is_told_whose_an_answer_is() -> None:
    """OpenAI's SDK for JavaScript refuses it without."""
    for first in (chunk(content="a"), chunk(content=[{"type": "text", "text": "a"}])):
        said, _ = await relayed(first, chunk(content="b"), chunk("stop"), DONE)
        assert [each["choices"][0]["delta"].get("role") for each in chunks(said)] == ["assistant", None, None]
    said, _ = await relayed(chunk(role="user", content="a"), chunk("stop"), DONE)
    assert chunks(said)[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    for odd in ({}, {"role": None}, {"role": "model"}):
        message = {"content": "a", **odd}
        whole, _ = await relayed_whole({**HEAD, "choices": [{"message": message, "finish_reason": "stop"}]})
        assert whole["choices"][0]["message"]["role"] == "assistant"


async def test_a_choice_has_its_number() -> None:
    head = {**HEAD, "object": "chat.completion.chunk"}
    pieces = [event({**head, "choices": [{"delta": {"role": "assistant", "content": each}}]}) for each in "ab"]
    said, _ = await relayed(*pieces, DONE)
    assert [each["choices"][0]["index"] for each in chunks(said)] == [0, 0, 0]
    message = {"role": "assistant", "content": "a"}
    whole = {**HEAD, "object": "chat.completion", "choices": [{"message": message, "finish_reason": "stop"}]}
    assert (await relayed_whole(whole))[0]["choices"][0]["index"] == 0


async def test_what_azure_says_first_makes_nothing_of_the_rest_odd() -> None:
    first = event({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []})
    said, _ = await relayed(first, *events({"odd": 1}), DONE)
    assert said.endswith(b"".join(events({"odd": 1})) + DONE)
    assert ChatCompletionChunk.model_validate(chunks(said)[0], strict=True).choices == []
