"""A turn that a client of OpenAI's begins is one like any other: busy, stopped, joined, tagged."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from shared.events import SessionTagged
from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage
from tests.connected.gateway.v1.test_sessions import asks, complete, contents
from tests.waiting import until

SLOW = "[echo one two three] [chunks 3] [slow 400]"


async def running(stage: Stage, session_id: str) -> bool:
    """Tell whether a turn runs in this session of which a piece has come."""
    return stage.running.total > 0 and (await stage.get(f"/api/chat/sessions/{session_id}")).status_code == 200


def text_of(said: str) -> tuple[str, list[str]]:
    """Return the text of a stream, and why it ended."""
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    choices = [each["choices"][0] for each in events if each["choices"]]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices), reasons


async def test_a_session_that_answers_is_busy_for_the_next_one(stage: Stage) -> None:
    named = {"X-Session-Id": "s1"}
    long = SLOW.replace("400", "2000")  # who asks next waits a second for it to be left alone
    first = asyncio.create_task(complete(stage, asks(long), stream=True, headers=named))
    await until(lambda: running(stage, "s1"), "the first to run")
    busy = await complete(stage, asks("[echo b]"), headers=named)
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "session_busy")
    assert text_of((await first).text) == ("one two three", ["stop"])
    assert await contents(stage, "s1") == [long, "one two three"]


@pytest.mark.parametrize("streams", [True, False])
async def test_a_turn_that_is_stopped_ends_for_its_client_and_in_the_session(stage: Stage, *, streams: bool) -> None:
    asked = asyncio.create_task(
        complete(stage, asks(SLOW + " [slow 2000]"), stream=streams, headers={"X-Session-Id": "s1"})
    )
    await until(lambda: running(stage, "s1"), "it to run")
    assert (await stage.post("/api/chat/s1/stop")).json()["status"] == "stopped"
    answer = await asked
    assert answer.status_code == 200
    if streams:
        assert text_of(answer.text)[1] == ["stop"]
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json()["choices"][0]["finish_reason"] == "stop"
    page = (await stage.get("/api/chat/sessions/s1/messages")).json()["messages"]
    assert page[-1]["status"] == "stopped"


async def test_a_retry_joins_a_turn_that_runs(stage: Stage) -> None:
    said: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    first = asyncio.create_task(complete(stage, asks(SLOW), **said))
    await until(lambda: _is_running(stage), "the first to run")
    retried = await complete(stage, asks(SLOW), **said, headers={"X-Stainless-Retry-Count": "1"})
    begun = await first
    assert retried.headers["x-turn-id"] == begun.headers["x-turn-id"]
    assert text_of(retried.text) == text_of(begun.text) == ("one two three", ["stop"])
    assert '"usage":{' in retried.text


async def test_a_retry_of_calls_gets_the_same_calls(stage: Stage) -> None:
    asked = asks('[tool get_weather {"city": "Nice"}]')
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    keyed = {"Idempotency-Key": "k1"}
    first, again = [await complete(stage, asked, tools=tools, headers=keyed) for _ in range(2)]
    (call,), (same,) = (each.json()["choices"][0]["message"]["tool_calls"] for each in (first, again))
    assert (call["id"], call["function"]["name"]) == (same["id"], same["function"]["name"])
    assert json.loads(call["function"]["arguments"]) == json.loads(same["function"]["arguments"]) == {"city": "Nice"}
    streamed = await complete(stage, asked, tools=tools, stream=True)
    assert text_of(streamed.text)[1] == ["tool_calls"]


async def test_a_sessions_tag_is_told_once_it_was_heard_of(stage: Stage) -> None:
    first = await complete(stage, asks("[echo a]"), headers={"X-Session-Id": "s1"})
    assert "x-session-tag" not in first.headers
    stage.recent.hint(SessionTagged(user_id="ann", session_id="s1", session_tag="chat_model_0_001", causes=(new_id(),)))
    for number in range(2):  # it stays known from turn to turn
        later = await complete(stage, asks(f"[echo {number}]"), headers={"X-Session-Id": "s1"})
        assert later.headers["x-session-tag"] == "chat_model_0_001"


async def test_a_sessions_tag_that_was_not_heard_of_is_read(stage: Stage, owner: asyncpg.Connection) -> None:
    rows = Rows(owner)
    first = await complete(stage, asks("[echo a]"), headers={"X-Session-Id": "s1"})
    assert "x-session-tag" not in first.headers
    await owner.execute("DELETE FROM tagging.models")
    tag = await rows.tag("s1", await rows.model("sandbox-small"), 7)
    stage.recent.missed()
    second = await complete(stage, asks("[echo b]"), headers={"X-Session-Id": "s1"})
    assert second.headers["x-session-tag"] == tag


async def test_what_its_service_counted_is_in_the_trace(stage: Stage, owner: asyncpg.Connection) -> None:
    answer = await complete(stage, asks("[echo a b c]"))
    usage = answer.json()["usage"]
    trace = json.loads(await owner.fetchval("SELECT answer -> 'trace' FROM gateway.turns"))
    assert (trace["input_tokens"], trace["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (trace["usage_source"], trace["status"], trace["model"]) == ("reported", "ok", "sandbox-small")


async def _is_running(stage: Stage) -> bool:
    return stage.running.total > 0
