"""Several upstreams: which of them answers, what each is sent, and what becomes of a turn where some are away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.gateway.model.asking.circuit import OPENS_AFTER
from services.gateway.model.asking.upstreams import Upstreams, open_upstreams
from services.gateway.turns.here.answering import Answering
from services.gateway.turns.here.buffer import TurnBuffer
from services.gateway.turns.turn import Answer
from shared.settings import Settings
from tests.pure.gateway.samples import turn
from tests.service.gateway.model.stand_in import (
    DONE,
    HI,
    STOP,
    Reply,
    StandIn,
    at_once,
    chunk,
    event,
    standing_in,
)
from tests.waiting import PATIENCE_S

FINE = Reply((HI, STOP, DONE))
BROKEN_OFF = Reply((b": loading\n\n",), cut=True)
AWAY = Reply((b'{"error": {"message": "x"}}',), 503, ("Content-Type: application/json",))
KEY = "the-key-of-a"
Answers = Callable[[dict[str, Any]], Reply] | Reply


def refused(status: int, *headers: str) -> Reply:
    return Reply((b"{}",), status, ("Content-Type: application/json", *headers))


@asynccontextmanager
async def upstreams_of(
    path: Path, more: str = "", **answers: Answers
) -> AsyncIterator[tuple[Upstreams, dict[str, StandIn]]]:
    """Open upstreams named a, b, ..., of which each has the model m, under a name of its own.

    Args:
        path: Where the file is written.
        more: Keys of the first upstream.
        answers: What each answers.
    """
    async with AsyncExitStack() as stack:
        services = {name: await stack.enter_async_context(standing_in(answer)) for name, answer in answers.items()}
        tables = [
            f'[[upstreams]]\nname = "{name}"\nbase_url = "{service.url}"\n{"" if number else more}\n'
            f'[[upstreams.models]]\nname = "m"\nsent_as = "m-of-{name}"\naliases = ["also-m"]\n'
            for number, (name, service) in enumerate(services.items())
        ]
        file = path / "models.toml"
        file.write_text("".join(tables))
        settings = Settings(_env_file=None, models_file=str(file), default_model="m", model_provider="acme")
        yield await stack.enter_async_context(open_upstreams(settings, at_once)), services


async def ask(upstreams: Upstreams, session_id: str = "s1", model: str = "m") -> Answer:
    async with asyncio.timeout(PATIENCE_S):
        asked = turn(session_id, model=model, provider="acme")
        return await Answering(upstreams, TurnBuffer(asked)).run([{"role": "user", "content": "q"}])


async def ask_of(upstreams: Upstreams, name: str) -> Answer:
    """Ask in a session whose own upstream this is."""
    for number in range(100):
        answer = await ask(upstreams, f"s{number}")
        if answer.trace is not None and answer.trace["upstream"] == name:
            return answer
    raise AssertionError(f"no session of a hundred is {name}'s")


async def test_whichever_answers_the_model_is_the_files_and_the_trace_names_the_upstream(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=FINE, b=FINE) as (upstreams, services):
        for name in "ab":
            answer = await ask_of(upstreams, name)
            trace = answer.trace or {}
            counted = {"upstream": name, "status": "ok"}
            assert REGISTRY.get_sample_value("tripthread_model_call_seconds_count", counted)
            assert (trace["model"], trace["provider"], trace["upstream"]) == ("m", "acme", name)
            assert services[name].requests[-1]["model"] == f"m-of-{name}"
        found = upstreams.catalog.find("also-m")
    assert found is not None
    assert (found.name, found.provider) == ("m", "acme")


@pytest.mark.parametrize(
    "trouble",
    [
        AWAY,
        refused(401),
        refused(404),
        refused(429),
        refused(500),
        refused(302),
        BROKEN_OFF,
        Reply(),
        Reply((b"<html>",)),
        Reply((event({"choices": [{"delta": {"content": ""}, "finish_reason": "error"}], "error": {"code": 502}}),)),
        Reply((chunk("error"), DONE)),
        Reply((b'{"error": {"message": "API key not valid. Please pass a valid API key."}}',), 400),
    ],
    ids=[
        *("503", "401", "404", "429", "500", "302", "broken off", "empty", "a web page"),
        *("an error with its reason", "the reason error", "400 of the key"),
    ],
)
async def test_another_one_answers_where_one_does_not(tmp_path: Path, trouble: Reply) -> None:
    async with upstreams_of(tmp_path, a=trouble, b=FINE) as (upstreams, services):
        answers = [await ask(upstreams, f"s{number}") for number in range(20)]
    assert {(answer.status, answer.content, (answer.trace or {})["upstream"]) for answer in answers} == {
        ("complete", "hi", "b")
    }
    assert services["a"].asked > 0


async def test_an_error_in_the_stream_before_the_first_piece_is_no_answer(tmp_path: Path) -> None:
    overloaded = Reply((event({"error": {"message": "x", "code": 529}}), DONE))
    async with upstreams_of(tmp_path, a=overloaded, b=FINE) as (upstreams, _):
        assert (await ask_of(upstreams, "b")).content == "hi"


@pytest.mark.parametrize("piece", [HI, chunk(reasoning="so"), chunk(tool_calls=[{"function": {"name": "f"}}])])
async def test_after_the_first_piece_nobody_else_is_asked(tmp_path: Path, piece: bytes) -> None:
    async with upstreams_of(tmp_path, a=Reply((piece,), cut=True)) as (upstreams, services):
        answer = await ask(upstreams)
    assert answer.status in ("interrupted", "failed")
    assert services["a"].asked == 1


async def test_what_is_about_the_request_is_refused_once(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=refused(400), b=refused(400)) as (upstreams, services):
        answer = await ask(upstreams)
    assert (answer.status, answer.error) == ("failed", "the model's service answered 400")
    assert services["a"].asked + services["b"].asked == 1


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_what_tells_of_the_question_or_of_much_to_do_opens_no_circuit(tmp_path: Path, status: int) -> None:
    async with upstreams_of(tmp_path, a=refused(status)) as (upstreams, services):
        while services["a"].asked < 2 * OPENS_AFTER:
            await ask(upstreams)
        assert REGISTRY.get_sample_value("tripthread_model_circuit_open", {"upstream": "a"}) == 0


async def test_nobody_is_left_alone_for_more_than_an_hour(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=refused(429, "Retry-After: 99999")) as (upstreams, _):
        await ask(upstreams)
        circuit, now = upstreams.upstream("a").circuit, asyncio.get_running_loop().time()
        assert not circuit.admits(now + 3500)
        assert circuit.admits(now + 3600)


async def test_who_refuses_for_good_is_not_left_alone_though_it_names_a_time(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=refused(404, "Retry-After: 3000"), b=FINE) as (upstreams, services):
        for number in range(20):
            assert (await ask(upstreams, f"s{number}")).status == "complete"
    assert services["a"].asked > 1


async def test_one_that_is_alone_is_asked_again(tmp_path: Path) -> None:
    replies = iter((AWAY, AWAY, FINE))
    async with upstreams_of(tmp_path, a=lambda _request: next(replies)) as (upstreams, services):
        answer = await ask(upstreams)
    assert (answer.status, answer.content) == ("complete", "hi")
    assert services["a"].asked == 3
    assert services["a"].requests[0] == services["a"].requests[2]


@pytest.mark.parametrize(
    "busy",
    [
        refused(429, "retry-after-ms: 300"),
        Reply((b'[{"error": {"code": 429, "details": [{}, {"retryDelay": "0.3s"}]}}]',), 429),
        Reply((event({"error": {"code": 429, "details": [{"retryDelay": "0.300000001s"}]}}),)),
    ],
    ids=["a header", "Google's body", "Google's words in a stream"],
)
async def test_who_asks_for_time_is_given_it(tmp_path: Path, busy: Reply) -> None:
    replies = iter((busy, FINE))
    async with upstreams_of(tmp_path, a=lambda _request: next(replies)) as (upstreams, _):
        began = asyncio.get_running_loop().time()
        assert (await ask(upstreams)).status == "complete"
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_one_that_wants_a_long_rest_is_not_asked_again_while_another_is_there(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=refused(429, "Retry-After: 3000"), b=FINE) as (upstreams, services):
        for number in range(20):
            assert (await ask(upstreams, f"s{number}")).status == "complete"
    assert services["a"].asked == 1


async def test_one_that_fails_again_and_again_is_left_alone_and_the_metrics_say_so(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=AWAY, b=FINE) as (upstreams, services):
        for number in range(60):
            assert (await ask(upstreams, f"s{number}")).status == "complete"
        opened = {name: REGISTRY.get_sample_value("tripthread_model_circuit_open", {"upstream": name}) for name in "ab"}
    assert services["a"].asked == OPENS_AFTER
    assert opened == {"a": 1, "b": 0}


async def test_one_call_finds_out_whether_it_is_back(tmp_path: Path) -> None:
    async with upstreams_of(tmp_path, a=AWAY, b=FINE) as (upstreams, services):
        for number in range(60):
            await ask(upstreams, f"s{number}")
        upstreams.upstream("a").circuit.alone_until = 0  # as if its time were over
        for number in range(60):
            assert (await ask(upstreams, f"s{number}")).status == "complete"
    assert services["a"].asked == OPENS_AFTER + 1


async def test_one_that_is_alone_is_asked_once_a_turn_while_its_circuit_is_open_and_is_back_at_once(
    tmp_path: Path,
) -> None:
    is_well = False
    async with upstreams_of(tmp_path, a=lambda _request: FINE if is_well else AWAY) as (upstreams, services):
        while services["a"].asked < OPENS_AFTER:
            await ask(upstreams)
        before = services["a"].asked
        assert (await ask(upstreams)).status == "failed"
        assert services["a"].asked == before + 1
        is_well = True
        assert (await ask(upstreams)).status == "complete"
        assert REGISTRY.get_sample_value("tripthread_model_circuit_open", {"upstream": "a"}) == 0


async def test_each_has_its_own_key_parameters_and_quirks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_A", KEY)
    own = (
        'key_variable = "KEY_OF_A"\nmay_override = ["temperature"]\n'
        "parameters = {temperature = 0.2, max_tokens = 9}\n"
        'quirks = {leaves_out = ["prompt_cache_key"], renames = {max_tokens = "max_completion_tokens"}}'
    )
    async with upstreams_of(tmp_path, own, a=FINE, b=FINE) as (upstreams, services):
        await ask_of(upstreams, "a")
        await ask_of(upstreams, "b")
        wanted = {"temperature": 0.9, "max_tokens": 1000}
        names = set()
        while "a" not in names:
            call = upstreams.call("m", [], turn().turn_id, wanted=wanted)
            assert [piece.text async for piece in call.chunks() if piece.text] == ["hi"]
            names.add(call.upstream)
    first, last = services["a"].requests[0], services["a"].requests[-1]
    assert (first["temperature"], first["max_completion_tokens"]) == (0.2, 9)
    assert (last["temperature"], last["max_completion_tokens"]) == (0.9, 9)
    assert "prompt_cache_key" not in first
    assert services["b"].requests[0].keys() == {"model", "messages", "stream", "stream_options", "prompt_cache_key"}
    assert f"Authorization: Bearer {KEY}" in services["a"].heads[0]
    assert "authorization" not in services["b"].heads[0].lower()


async def test_each_is_waited_for_by_its_own_limits(tmp_path: Path) -> None:
    silent = Reply(forever=b": loading\n\n")
    async with upstreams_of(tmp_path, "timeouts = {first_piece_s = 0.1}", a=silent, b=FINE) as (upstreams, services):
        while not services["a"].asked:
            assert (await ask(upstreams, f"s{services['b'].asked}")).content == "hi"


async def test_a_turn_does_not_outlive_its_own_limit_for_the_sake_of_another_try(tmp_path: Path) -> None:
    async with standing_in(refused(503, "Retry-After: 5")) as service:
        settings = service.settings(model_turn_s=1)
        async with open_upstreams(settings, at_once) as upstreams:
            assert (await ask(upstreams, model="x")).error == "the model's service answered 503"
    assert service.asked == 1


async def test_a_query_of_the_base_url_goes_with_every_call() -> None:
    async with standing_in(FINE) as service:
        settings = Settings(_env_file=None, openai_base_url=f"{service.url}/?api-version=preview")
        async with open_upstreams(settings) as upstreams:
            assert (await ask(upstreams)).status == "complete"
    assert service.heads[0].startswith("POST /v1/chat/completions?api-version=preview HTTP/1.1")
