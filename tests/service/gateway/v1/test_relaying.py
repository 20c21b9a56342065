"""What a client of OpenAI's is told of answers as services really give them; byte for byte, from a bare socket."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from services.gateway.model.asking.upstreams import open_upstreams
from services.gateway.model.chunks import Chunk
from services.gateway.model.relayed import Relayed
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.here.retold import Retold
from services.gateway.v1.reading.response_request import read_response_request
from services.gateway.v1.told.response_told import ToldInPieces
from services.gateway.v1.told.responses import Responses
from services.gateway.v1.told.telling import completion_of, error_of, relayed_stream
from services.gateway.v1.told.wording import Begun
from tests.pure.gateway.samples import minutes, turn
from tests.service.gateway.model.stand_in import DONE, HI, STOP, Reply, at_once, chunk, event, standing_in
from tests.service.gateway.v1.relaying import ROLE, chunks, delta, relayed

USAGE = event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})


async def test_what_is_right_is_relayed_byte_for_byte() -> None:
    logprobs = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"logprobs":{"content":[]}}],"odd" :1}\n\n'
    said, answer = await relayed(ROLE, logprobs, HI, STOP, DONE)
    assert said == ROLE + logprobs + HI + STOP + DONE
    assert (answer.content, answer.status) == ("hihi", "complete")


async def test_what_strict_clients_cannot_read_is_given_what_it_lacks() -> None:
    """In Rust and Go a missing id, an empty reason and an empty usage are errors."""
    odd: dict[str, Any] = {"id": None, "usage": {}, "odd": 1}
    texts = [event({**odd, "choices": [{"delta": {"content": each}, "finish_reason": ""}]}) for each in ("a", "b")]
    said, answer = await relayed(*texts, event({"choices": [{"delta": {}, "finish_reason": "stop"}]}), DONE)
    told = chunks(said)
    for each in told:
        ChatCompletionChunk.model_validate({**each, "choices": []}, strict=True)
    assert len({(each["id"], each["created"]) for each in told}) == 1
    assert [each["choices"][0]["finish_reason"] for each in told] == [None, None, "stop"]
    assert [("usage" in each, each.get("odd")) for each in told] == [(False, 1), (False, 1), (False, None)]
    assert answer.content == "ab"


async def test_a_whole_answer_is_given_what_it_lacks() -> None:
    body = b'{"odd": 1, "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}'
    buffer = TurnBuffer(turn())
    retold = buffer.retold = Retold(Relayed(streams=False), [], 0)
    async with standing_in(Reply((body,))) as service, open_upstreams(service.settings(), at_once) as upstreams:
        await Answering(upstreams, buffer).run([])
    assert retold.whole is not None
    told = ChatCompletion.model_validate(json.loads(retold.whole), strict=True)
    assert (told.choices[0].message.content, told.object) == ("hi", "chat.completion")
    assert json.loads(retold.whole)["odd"] == 1


async def test_what_lacks_something_and_cannot_be_completed_goes_on_as_it_came() -> None:
    """Half a character where nobody reads: some services send so the tokens beside a text."""
    odd = b'data: {"choices": [{"delta": {"content": "a"}, "logprobs": "\xf0\x9f"}]}\n\n'
    said, answer = await relayed(odd, event({"choices": [{"delta": {}, "finish_reason": "end_turn"}]}), DONE)
    assert said.startswith(odd)
    assert (answer.content, answer.status) == ("a", "complete")


async def test_usage_is_for_who_asked_for_it() -> None:
    assert USAGE not in (await relayed(ROLE, HI, STOP, USAGE, DONE))[0]
    wanted = Relayed(wants_usage=True)
    assert (await relayed(ROLE, HI, STOP, USAGE, DONE, request=wanted))[0] == ROLE + HI + STOP + USAGE + DONE
    *_, estimated = chunks((await relayed(HI, STOP, DONE, request=wanted))[0])
    assert (estimated["choices"], estimated["usage"].keys()) == (
        [],
        {"prompt_tokens", "completion_tokens", "total_tokens"},
    )


@pytest.mark.parametrize("body", [(HI, DONE), (HI, STOP), (HI, STOP.strip())])
async def test_an_end_that_a_service_leaves_out_is_told(body: tuple[bytes, ...]) -> None:
    """https://github.com/brainlid/langchain/pull/367, https://github.com/darshi1337/apogee/pull/139."""
    said, _ = await relayed(*body)
    assert chunks(said)[-1]["choices"][0]["finish_reason"] == "stop"


async def test_a_stream_that_breaks_off_is_an_error_and_no_end() -> None:
    """Who ends it with `stop` hides it: https://github.com/BerriAI/litellm/issues/40260."""
    said, answer = await relayed(ROLE, HI)
    assert said.startswith(ROLE + HI)
    assert DONE not in said
    error = json.loads(said.split(b"data: ")[-1])["error"]
    assert (error["type"], error["code"]) == ("server_error", "model_away")
    assert answer.status == "interrupted"


async def test_an_error_under_status_200_is_one_for_the_client() -> None:
    """https://github.com/ggml-org/llama.cpp/issues/14566."""
    wrong = event({"error": {"message": "boom", "code": 500}})
    said, _ = await relayed(HI, wrong)
    assert b"boom" not in said
    assert list(json.loads(said.split(b"data: ")[-1])) == ["error"]


async def test_calls_have_numbers_of_their_own_and_all_that_stands_beside_them() -> None:
    """https://github.com/QuantumNous/new-api/pull/2701, https://github.com/THU-MAIC/OpenMAIC/issues/1556."""

    def call(call_id: str, **more: Any) -> dict[str, Any]:
        return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}

    same = [chunk(tool_calls=[call(each, index=0)]) for each in ("a", "b")]
    none = [chunk(tool_calls=[call(each, extra_content={"google": each})]) for each in ("a", "b")]
    for body in (same, none):
        said, answer = await relayed(*body, chunk("tool_calls"), DONE)
        told = [delta(each)["tool_calls"][0] for each in chunks(said)[:2]]
        assert [(each["index"], each["id"]) for each in told] == [(0, "a"), (1, "b")]
        assert [part["toolCallId"] for part in answer.parts] == ["a", "b"]
        assert answer.status == "complete"
    assert [each["extra_content"] for each in told] == [{"google": "a"}, {"google": "b"}]


async def test_pieces_of_a_call_are_relayed_as_they_come() -> None:
    begun = chunk(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}])
    more = [chunk(tool_calls=[{"index": 0, "function": {"arguments": each}}]) for each in ('{"x"', ": 1}")]
    said, answer = await relayed(ROLE, begun, *more, chunk("tool_calls"), DONE)
    assert said == b"".join((ROLE, begun, *more, chunk("tool_calls"), DONE))
    assert answer.parts[0]["input"] == {"x": 1}


async def test_a_whole_answer_is_streamed_where_a_stream_was_asked_for() -> None:
    whole = {"id": "c1", "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
    said, _ = await relayed(json.dumps(whole).encode(), headers=("Content-Type: application/json",))
    (told,) = chunks(said)
    assert (told["id"], told["object"], delta(told)) == (
        "c1",
        "chat.completion.chunk",
        {"role": "assistant", "content": "hi"},
    )


async def test_halves_of_a_character_are_told_as_one() -> None:
    """https://github.com/elizaOS/eliza/issues/30904."""
    halves = [b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % half for half in (b"\\ud83d", b"\\ude00")]
    said, answer = await relayed(*halves, STOP, DONE)
    assert "".join(delta(each).get("content", "") for each in chunks(said)) == answer.content == "\U0001f600"


async def test_words_for_an_end_are_openais() -> None:
    """https://github.com/BerriAI/litellm/issues/12481."""
    said, _ = await relayed(HI, chunk("MAX_TOKENS"), DONE)
    assert chunks(said)[-1]["choices"][0]["finish_reason"] == "length"


async def test_an_answer_without_text_ends_as_its_service_says() -> None:
    said, _ = await relayed(ROLE, chunk("length"), DONE)
    assert said == ROLE + chunk("length") + DONE


async def test_an_answer_that_says_with_each_piece_that_it_ends_is_relayed_to_its_end() -> None:
    """https://github.com/QuantumNous/new-api/issues/378."""
    pieces = [chunk("stop", role="assistant", content="a"), chunk(content="b"), chunk("stop", content="c")]
    said, answer = await relayed(*pieces, DONE)
    assert said == b"".join((*pieces, DONE))
    assert answer.content == "abc"


async def test_who_has_left_is_told_nothing_and_the_answer_goes_on() -> None:
    buffer = TurnBuffer(turn())
    retold = buffer.retold = Retold(Relayed(), [], 0)
    retold.hold_in(buffer.holding)
    retold.leave()
    async with (
        standing_in(Reply((HI, STOP, DONE))) as service,
        open_upstreams(service.settings(), at_once) as upstreams,
    ):
        answer = await Answering(upstreams, buffer).run([])
    assert (answer.content, retold.is_waiting) == ("hi", False)


async def test_of_a_try_that_failed_before_its_first_piece_nothing_is_told() -> None:
    other = chunk(role="assistant", content="", odd=True)
    busy = event({"error": {"message": "busy", "type": "overloaded_error"}})
    replies = iter([Reply((ROLE, busy)), Reply((other, HI, STOP, DONE))])
    buffer = TurnBuffer(turn())
    retold = buffer.retold = Retold(Relayed(), [], 0)
    async with (
        standing_in(lambda _: next(replies)) as service,
        open_upstreams(service.settings(), at_once) as upstreams,
    ):
        answer = await Answering(upstreams, buffer).run([])
    buffer.end(replace(buffer.turn, state=answer.status, answer=answer, answered_at=minutes(1)))
    assert b"".join([piece async for piece in relayed_stream(buffer, retold)]) == other + HI + STOP + DONE


async def test_what_a_client_chose_is_refused_to_it_and_asked_again_of_nobody_else() -> None:
    """To leave out its tools for everybody from then on would be worse."""

    def refuse(_: dict[str, Any]) -> Reply:
        body = json.dumps({"error": {"message": "Unknown parameter: 'tools'.", "code": "unknown_parameter"}})
        return Reply((body.encode(),), status=400)

    request = Relayed({"tools": [{"type": "function"}], "temperature": 0.5})
    async with standing_in(refuse) as service, open_upstreams(service.settings(), at_once) as upstreams:
        for _ in range(2):
            buffer = TurnBuffer(turn())
            buffer.retold = Retold(request, [], 0)
            answer = await Answering(upstreams, buffer).run([])
            assert error_of(answer)[0] == 400
            assert "tools" in error_of(answer)[1]["message"]
    assert [each.get("tools") for each in service.requests] == [[{"type": "function"}]] * 2
    assert service.requests[0]["temperature"] == 0.5


async def test_what_only_we_added_is_left_out_where_it_is_refused() -> None:
    def answer(request: dict[str, Any]) -> Reply:
        if "prompt_cache_key" in request:
            body = json.dumps({"error": {"message": "Unknown parameter: 'prompt_cache_key'."}})
            return Reply((body.encode(),), status=400)
        return Reply((HI, STOP, DONE))

    buffer = TurnBuffer(turn())
    buffer.retold = Retold(Relayed({"seed": 7}), [], 0)
    async with standing_in(answer) as service, open_upstreams(service.settings(), at_once) as upstreams:
        assert (await Answering(upstreams, buffer).run([])).content == "hi"
    assert service.requests[-1]["seed"] == 7


async def test_a_limit_that_a_service_knows_by_another_name_is_sent_by_that() -> None:
    """Of all that clients send this is refused most (https://github.com/caozhiyuan/copilot-api/issues/164)."""

    def answer(request: dict[str, Any]) -> Reply:
        if "max_tokens" not in request:
            return Reply((HI, STOP, DONE))
        said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        return Reply((json.dumps({"error": {"message": said, "param": "max_tokens"}}).encode(),), status=400)

    request = Relayed({"max_tokens": 5}, may_rename=frozenset(("max_tokens",)))
    async with standing_in(answer) as service, open_upstreams(service.settings(), at_once) as upstreams:
        buffer = TurnBuffer(turn())
        buffer.retold = Retold(request, [], 0)
        assert (await Answering(upstreams, buffer).run([])).content == "hi"
    assert service.requests[-1]["max_completion_tokens"] == 5


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"}),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum", "type": "invalid_request_error"}),
        (400, {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}),
        (500, {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}),
    ],
)
async def test_what_is_too_long_for_a_model_is_told_by_the_code_that_clients_know(status: int, error: Any) -> None:
    body = json.dumps({"error": error}).encode()
    _, answer = await relayed(body, status=status, headers=("Content-Type: application/json",))
    told_status, told = error_of(answer)
    assert (told_status, told["type"], told["code"]) == (400, "invalid_request_error", "context_length_exceeded")


async def test_what_is_refused_for_something_else_is_not_too_long() -> None:
    body = json.dumps({"error": {"message": "temperature is too high"}}).encode()
    _, answer = await relayed(body, status=400, headers=("Content-Type: application/json",))
    assert error_of(answer)[1]["code"] == "refused_by_model"


async def test_who_wants_no_stream_is_answered_by_one_that_is_none_and_else_by_what_came() -> None:
    whole = b'{"id": "c", "object": "chat.completion", "created": 1, "model": "m", "odd": 1, "choices": [{"index": 0, '
    whole += b'"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}'
    for body, is_relayed in ((whole, True), (HI + STOP + DONE, False), (whole.replace(b"stop", b"end_turn"), False)):
        buffer = TurnBuffer(turn())
        retold = buffer.retold = Retold(Relayed(streams=False), [], 0)
        async with standing_in(Reply((body,))) as service, open_upstreams(service.settings(), at_once) as upstreams:
            answer = await Answering(upstreams, buffer).run([])
        assert service.requests[0]["stream"] is False
        assert "stream_options" not in service.requests[0]
        assert (answer.content, answer.status) == ("hi", "complete")
        assert retold.whole == (body if is_relayed else None)
        told = json.loads(completion_of(buffer.turn, answer))
        assert told["choices"][0] == {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }


async def test_silence_is_no_comment_that_a_client_may_take_for_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.v1.told.telling.QUIET_S", 0.01)
    buffer = TurnBuffer(turn())
    told = await anext(relayed_stream(buffer, Retold(Relayed(), [], 0)))
    chunk = ChatCompletionChunk.model_validate(json.loads(told.removeprefix(b"data: ")), strict=True)
    assert [(each.delta.content, each.finish_reason) for each in chunk.choices] == [("", None)]


async def test_silence_in_a_response_is_no_event_and_takes_none_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.v1.told.telling.QUIET_S", 0.01)
    buffer = TurnBuffer(turn())
    asked = read_response_request(b'{"model": "m", "input": "hi"}', {"content-type": "application/json"}, 10)
    retold = ToldInPieces(Relayed(), [], 0, streams=True)
    pieces = Responses().stream(Begun(asked, buffer, retold, None, is_known=True))
    begun, silence = await anext(pieces), await anext(pieces)
    retold.tell(Chunk(text="hi"), 0)
    said = begun + silence
    while b"output_text.delta" not in said:
        said += await anext(pieces)

    async def bytes_of() -> AsyncIterator[bytes]:
        yield said

    events = [event async for event in SSEDecoder().aiter_bytes(bytes_of())]
    assert [each.event for each in events[1:3]] == ["response.in_progress", "response.output_item.added"]
    assert all(each.data for each in events)
    dispatched = [block.split(b"\n")[-1] for block in said.split(b"\n\n") if block]
    assert all(line.startswith(b"data: ") for line in dispatched), "a blank line is behind each event, and nowhere else"


@pytest.mark.parametrize(
    "counted",
    [
        {"prompt_tokens_details": {"cached_tokens": 7}, "completion_tokens_details": {"reasoning_tokens": 5}},
        {"prompt_cache_hit_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 5}},
    ],
)
async def test_a_response_tells_what_its_service_has_counted(counted: dict[str, Any]) -> None:
    """Who reckons costs by a nought that nobody has counted reckons wrong."""
    tokens = {"prompt_tokens": 10, "completion_tokens": 8}
    usage = event({"choices": [], "usage": {**tokens, **counted}})
    asked = read_response_request(b'{"model": "m", "input": "hi"}', {"content-type": "application/json"}, 10)
    for last in (usage, event({"choices": [], "usage": tokens})):
        buffer = TurnBuffer(turn())
        retold = buffer.retold = ToldInPieces(Relayed(wants_usage=True), [], 0, streams=False)
        service = standing_in(Reply((HI, STOP, last, DONE)))
        async with service as stand_in, open_upstreams(stand_in.settings(), at_once) as upstreams:
            answer = await Answering(upstreams, buffer).run([])
        ended = replace(buffer.turn, state="complete", answer=answer, answered_at=minutes(1))
        told = Response.model_validate(
            json.loads(Responses().whole(Begun(asked, buffer, retold, None, is_known=True), ended, answer))
        ).usage
        assert told is not None
        details = (told.input_tokens_details.cached_tokens, told.output_tokens_details.reasoning_tokens)
        assert (told.total_tokens, details) == (18, (7, 5) if last is usage else (0, 0))
