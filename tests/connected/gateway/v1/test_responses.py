"""`POST /v1/responses` by OpenAI's own client, which knows nothing of us; on a real database and broker."""

import asyncio
import json
from typing import Any

import asyncpg
import openai
import pytest

from services.gateway.v1.past.response_readings import ResponseReadings
from services.logger.store import Store
from shared.database import open_pool
from shared.errors import DatabaseAway
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage
from tests.tokens import token_for
from tests.waiting import until

MODEL = "sandbox-small"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


def said(text: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": text}


async def messages(stage: Stage, session_id: str) -> list[Any]:
    page: list[Any] = (await stage.get(f"/api/chat/sessions/{session_id}/messages")).json()["messages"]
    return page


async def test_a_response_is_its_turn_and_the_next_goes_on_from_it(stage: Stage, client: Any) -> None:
    raw = await client.responses.with_raw_response.create(model=MODEL, input="[echo hello]", instructions="Be brief.")
    first, session_id = raw.parse(), raw.headers["x-session-id"]
    assert (first.output_text, first.status, first.instructions) == ("hello", "completed", "Be brief.")
    assert first.id == f"resp_{raw.headers['x-turn-id'].replace('-', '')}"
    assert first.usage.total_tokens == first.usage.input_tokens + first.usage.output_tokens > 0
    raw = await client.responses.with_raw_response.create(model=MODEL, input="[recall]", previous_response_id=first.id)
    assert raw.headers["x-session-id"] == session_id
    assert raw.parse().previous_response_id == first.id
    assert json.loads(raw.parse().output_text) == ["[echo hello]", "[recall]"]
    page = await messages(stage, session_id)
    assert [each["role"] for each in page] == ["user", "assistant"] * 2
    assert [each["parent_id"] for each in page] == [None, *(each["id"] for each in page[:-1])]


async def test_two_go_on_from_one_response_and_neither_sees_the_other(stage: Stage, client: Any) -> None:
    first = await client.responses.create(model=MODEL, input="[echo a]")
    for text in ("[echo b]", "[recall]"):
        raw = await client.responses.with_raw_response.create(model=MODEL, input=text, previous_response_id=first.id)
    assert json.loads(raw.parse().output_text) == ["[echo a]", "[recall]"]
    page = await messages(stage, raw.headers["x-session-id"])
    assert [each["content"] for each in page[:4]] == ["[echo a]", "a", "[echo b]", "b"]
    assert page[4]["parent_id"] == page[2]["parent_id"] == page[1]["id"]


async def test_a_stream_is_read_by_its_own_client(client: Any) -> None:
    async with client.responses.stream(model=MODEL, input="[echo one two three] [chunks 3] [slow 200]") as stream:
        told = [event async for event in stream]
        response = await stream.get_final_response()
    assert [event.sequence_number for event in told] == list(range(len(told)))
    deltas = [event.delta for event in told if event.type == "response.output_text.delta"]
    assert (len(deltas) > 1, "".join(deltas)) == (True, "one two three")
    assert (told[0].type, told[-1].type) == ("response.created", "response.completed")
    assert (response.output_text, response.status, response.usage.output_tokens > 0) == (
        "one two three",
        "completed",
        True,
    )


@pytest.mark.parametrize("streams", [False, True])
async def test_calls_of_the_clients_functions_are_its_own_to_answer(
    stage: Stage, client: Any, *, streams: bool
) -> None:
    asked = {"model": MODEL, "input": '[tool get_weather {"city": "Nice"}]', "tools": [WEATHER]}
    if streams:
        async with client.responses.stream(**asked) as stream:
            first = await stream.get_final_response()
    else:
        first = await client.responses.create(**asked)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments), call.status) == ("get_weather", {"city": "Nice"}, "completed")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    raw = await client.responses.with_raw_response.create(
        model=MODEL, input=[result], previous_response_id=first.id, tools=[WEATHER]
    )
    assert raw.parse().output_text
    page = await messages(stage, raw.headers["x-session-id"])
    assert [each["role"] for each in page] == ["user", "assistant", "tool", "assistant"]
    assert page[2]["content"] == "sunny"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(
            model=MODEL, input=[{**result, "call_id": "other"}], previous_response_id=first.id
        )
    assert refused.value.param == "input[0].call_id"


async def test_who_sends_all_items_goes_on_in_the_session(stage: Stage, client: Any) -> None:
    """As the Agents SDK does, with its calls as they were told."""
    sent: list[Any] = [{"role": "user", "content": '[tool get_weather {"city": "Nice"}]'}]
    first = await client.responses.with_raw_response.create(model=MODEL, input=sent, tools=[WEATHER])
    sent += [item.model_dump(exclude_none=True) for item in first.parse().output]
    sent.append({"type": "function_call_output", "call_id": sent[-1]["call_id"], "output": "sunny"})
    second = await client.responses.with_raw_response.create(model=MODEL, input=sent, tools=[WEATHER])
    sent += [item.model_dump(exclude_none=True) for item in second.parse().output]
    sent.append({"role": "user", "content": "[echo bye]"})
    third = await client.responses.with_raw_response.create(model=MODEL, input=sent, instructions="New ones.")
    assert len({each.headers["x-session-id"] for each in (first, second, third)}) == 1
    page = await messages(stage, third.headers["x-session-id"])
    assert [each["role"] for each in page] == ["user", "assistant", "tool", "assistant", "user", "assistant"]


async def test_who_names_items_goes_on_with_those_of_their_own_responses(
    stage: Stage, client: Any, owner: asyncpg.Connection, settings: Settings
) -> None:
    """As the AI SDK does."""
    sent: list[Any] = [said('[tool get_weather {"city": "Nice"}]')]
    first = await client.responses.with_raw_response.create(model=MODEL, input=sent, tools=[WEATHER])
    (call,) = first.parse().output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    sent += [{"type": "item_reference", "id": call.id}, result]
    second = await client.responses.with_raw_response.create(model=MODEL, input=sent, tools=[WEATHER])
    assert second.headers["x-session-id"] == first.headers["x-session-id"]
    sent += [{"type": "item_reference", "id": second.parse().output[0].id}, said("[recall]")]
    for keeps_turns in (True, False):
        if not keeps_turns:
            await only_stored(stage, owner, settings)
        third = await client.responses.create(model=MODEL, input=sent)
        assert json.loads(third.output_text) == ['[tool get_weather {"city": "Nice"}]', "[recall]"]
        stranger = await stage.post("/v1/responses", {"model": MODEL, "input": sent}, user="bob")
        assert (stranger.status_code, stranger.json()["error"]["param"]) == (400, "input[1].id")
    await client.responses.delete(first.parse().id)
    with pytest.raises(openai.BadRequestError) as withheld:
        await client.responses.create(model=MODEL, input=sent)
    assert withheld.value.param == "input[1].id"


async def only_stored(stage: Stage, owner: asyncpg.Connection, settings: Settings) -> None:
    """Store what all turns say, as the logger does, and let their rows go."""
    turns = [await stage.store.find(row["turn_id"]) for row in await owner.fetch("SELECT turn_id FROM gateway.turns")]
    async with open_pool(settings.logger_database_url, "test", size=1) as pool:
        told = [event for turn in turns if turn for event in turn.events()]
        await Store(pool).store_chat([type(event).model_validate_json(event.model_dump_json()) for event in told], [])
    await owner.execute("DELETE FROM gateway.turns")


async def test_a_retry_is_the_same_response(client: Any) -> None:
    keyed = {"Idempotency-Key": "k1"}
    first, again = [await client.responses.create(model=MODEL, input="[echo a]", extra_headers=keyed) for _ in range(2)]
    assert first.model_dump() == again.model_dump()
    asked = {"model": MODEL, "input": '[tool f {"a": 1}]', "tools": [{**WEATHER, "name": "f"}]}
    told = []
    for retries in ("0", "1"):
        async with client.responses.stream(**asked, extra_headers={"x-stainless-retry-count": retries}) as stream:
            told.append([event async for event in stream])
    (begun, repeated), deltas = told, [_deltas(events) for events in told]
    assert json.loads(deltas[0]) == json.loads(deltas[1]) == {"a": 1}  # which is kept as a value
    assert begun[-1].response.id == repeated[-1].response.id
    assert begun[-1].response.output == repeated[-1].response.output


def _deltas(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type.endswith(".delta"))


async def test_what_is_withheld_is_so_before_it_begins(
    stage: Stage, client: Any, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"model": MODEL, "input": "[echo a]", "store": False}
    made = [await client.responses.create(**asked, extra_headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert made[0].id == made[1].id
    other = await stage.call("POST", "/v1/responses", {**asked, "input": "x"}, Idempotency_Key="k")
    assert other.status_code == 400  # and of what has not begun nothing is noted
    withheld = await owner.fetch("SELECT turn_id FROM gateway.withheld_responses")
    assert [f"resp_{row['turn_id'].hex}" for row in withheld] == [made[0].id]

    async def breaks(*_: Any) -> None:
        raise DatabaseAway

    monkeypatch.setattr(ResponseReadings, "withhold", breaks)
    assert (await stage.post("/v1/responses", asked)).status_code == 503
    assert await owner.fetchval("SELECT count(*) FROM gateway.turns") == 1


async def test_nobody_goes_on_from_what_is_not_there_or_not_theirs(stage: Stage, client: Any) -> None:
    first = await client.responses.create(model=MODEL, input="[echo a]")
    body = {"model": MODEL, "input": "[recall]", "previous_response_id": first.id}
    stranger = await stage.post("/v1/responses", body, user="bob")
    unknown = await stage.post("/v1/responses", {**body, "previous_response_id": f"resp_{'0' * 32}"})
    for answer in (stranger, unknown):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "previous_response_not_found")
        assert error["param"] == "previous_response_id"
    elsewhere = await stage.post("/v1/responses", {**body, "metadata": {"session_id": "s9"}})
    assert (elsewhere.status_code, elsewhere.json()["error"]["param"]) == (400, "previous_response_id")


async def test_what_the_service_refuses_is_refused_and_what_breaks_off_has_failed(client: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model=MODEL, input="[error 400]", stream=True)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=MODEL, input="hi", tools=[{"type": "web_search"}])
    assert refused.value.param == "tools[0].type"
    async with client.responses.stream(model=MODEL, input="[echo one two three] [chunks 3] [cut 2]") as stream:
        last = [event async for event in stream][-1]
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")
    assert last.response.output_text.startswith("one")


async def test_a_project_that_its_token_does_not_name_is_not_gone_on_in(stage: Stage) -> None:
    def limited(project: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token_for(stage.settings, 'ann', projects=[project])}"}

    first = await stage.http.post("/v1/responses", json={"model": MODEL, "input": "[echo a]"}, headers=limited("p1"))
    body = {"model": MODEL, "input": "[recall]", "previous_response_id": first.json()["id"]}
    same, other = [await stage.http.post("/v1/responses", json=body, headers=limited(each)) for each in ("p1", "p2")]
    assert (same.status_code, other.status_code) == (200, 400)
    named = {**body, "metadata": {"session_id": "s9"}}
    hidden = await stage.http.post("/v1/responses", json=named, headers=limited("p2"))
    for refused in (other, hidden):
        assert refused.json()["error"]["code"] == "previous_response_not_found"


async def test_a_response_is_shown_until_it_is_deleted_and_its_session_keeps_it(stage: Stage, client: Any) -> None:
    asked = {"model": MODEL, "metadata": {"a": "b"}, "tools": [WEATHER]}
    first = await client.responses.create(input="[echo a]", **asked)
    raw = await client.responses.with_raw_response.create(
        input='[tool get_weather {"city": "Nice"}]', previous_response_id=first.id, **asked
    )
    made, session_id = raw.parse(), raw.headers["x-session-id"]
    shown = await client.responses.retrieve(made.id)
    same = {
        "id",
        "created_at",
        "completed_at",
        "output",
        "usage",
        "status",
        "model",
        "metadata",
        "previous_response_id",
    }
    assert shown.model_dump(include=same) == made.model_dump(include=same)
    assert (await stage.get(f"/v1/responses/{made.id}", user="bob")).status_code == 404
    assert (await stage.call("DELETE", f"/v1/responses/{made.id}", user="bob")).status_code == 404
    assert (await stage.call("DELETE", f"/v1/responses/{made.id}")).json() == {
        "id": made.id,
        "object": "response",
        "deleted": True,
    }
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.responses.retrieve(made.id)
    assert unknown.value.type == "invalid_request_error"
    assert f"Response with id '{made.id}' not found." in unknown.value.message
    assert (await stage.call("DELETE", f"/v1/responses/{made.id}")).status_code == 404
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model=MODEL, input="x", previous_response_id=made.id)
    assert len(await messages(stage, session_id)) == 4
    assert (await client.responses.retrieve(first.id)).output_text == "a"


async def test_what_is_not_to_be_stored_is_in_its_session_alone(stage: Stage, client: Any) -> None:
    raw = await client.responses.with_raw_response.create(model=MODEL, input="[echo a]", store=False)
    made = raw.parse()
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model=MODEL, input="x", previous_response_id=made.id)
    assert refused.value.code == "previous_response_not_found"
    assert [each["content"] for each in await messages(stage, raw.headers["x-session-id"])] == ["[echo a]", "a"]


async def test_a_response_that_is_answered_is_in_progress(stage: Stage, client: Any, owner: asyncpg.Connection) -> None:
    asking = client.responses.create(model=MODEL, input="[echo one two] [chunks 2] [slow 20000]")
    asked = asyncio.create_task(asking)
    await until(lambda: _runs(owner), "it to run")
    (row,) = await owner.fetch("SELECT turn_id, session_id FROM gateway.turns")
    begun = f"resp_{row['turn_id'].hex}"
    assert (await client.responses.retrieve(begun)).status == "in_progress"
    refused = await stage.post("/v1/responses", {"model": MODEL, "input": "x", "previous_response_id": begun})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "session_busy")
    assert (await stage.post(f"/api/chat/{row['session_id']}/stop")).json()["status"] == "stopped"
    assert ((await asked).id, (await client.responses.retrieve(begun)).status) == (begun, "cancelled")


async def _runs(owner: asyncpg.Connection) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM gateway.turns WHERE state = 'running'"))


async def test_a_turn_of_a_chat_is_a_response_and_so_is_one_that_was_stored_alone(
    stage: Stage, client: Any, owner: asyncpg.Connection
) -> None:
    said = await stage.post("/api/chat", {"message": "[echo hi]", "stream": False})
    chat = f"resp_{said.headers['x-turn-id'].replace('-', '')}"
    assert (await client.responses.retrieve(chat)).output_text == "hi"
    rows, turn_id = Rows(owner), new_id()
    await rows.session("s1")
    await rows.message("s1", "m1", at=1, role="assistant", content="hello", turn_id=turn_id)
    for trace_id in ("m1", "m1-2", "m10"):  # the last is of another message
        message_id = trace_id.partition("-")[0]
        await rows.trace(trace_id, session_id="s1", message_id=message_id, input_tokens=5, output_tokens=2)
    stored = await stage.get(f"/v1/responses/resp_{turn_id.hex}")
    assert stored.status_code == 200, stored.text
    assert (stored.json()["model"], stored.json()["output"][0]["content"][0]["text"]) == ("", "hello")
    assert stored.json()["usage"]["total_tokens"] == 14  # of both rounds


async def fork(owner: asyncpg.Connection) -> None:
    """Copy all that is stored into a session that begins now, as the logger does."""
    await owner.execute(
        "INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at)"
        " SELECT 'ann', 'fork', now(), now()"
    )
    await owner.execute(
        "INSERT INTO chat.messages (user_id, session_id, message_id, role, content, turn_id, event_id, created_at)"
        " SELECT user_id, 'fork', message_id, role, content, turn_id, event_id, created_at FROM chat.messages"
    )


async def test_a_response_whose_turn_is_stored_alone_is_found_and_gone_on_from_as_well(
    stage: Stage, client: Any, owner: asyncpg.Connection, settings: Settings
) -> None:
    asked = {"model": MODEL, "tools": [WEATHER]}
    zero = await client.responses.create(model=MODEL, input=[said("Be brief.", "developer"), said("[echo a]")])
    first = await client.responses.create(
        input='[tool get_weather {"city": "Nice"}]', previous_response_id=zero.id, metadata={"a": "b"}, **asked
    )
    failed = await stage.post("/v1/responses", {**asked, "input": "[error 500]", "previous_response_id": zero.id})
    before = [await client.responses.retrieve(each.id) for each in (zero, first)]
    await only_stored(stage, owner, settings)
    await fork(owner)
    assert before == [await client.responses.retrieve(each.id) for each in (zero, first)]
    assert (before[1].previous_response_id, before[1].metadata) == (zero.id, {"a": "b"})
    broken = await client.responses.retrieve(f"resp_{failed.headers['x-turn-id'].replace('-', '')}")
    assert (broken.status, broken.error.code) == ("failed", "server_error")
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}
    second = await client.responses.create(input=[result], previous_response_id=first.id, **asked)
    assert await owner.fetchval("SELECT session_id FROM gateway.turns") != "fork"
    third = await client.responses.create(model=MODEL, input="[recall]", previous_response_id=second.id)
    assert json.loads(third.output_text) == ["[echo a]", '[tool get_weather {"city": "Nice"}]', "[recall]"]
    stranger = await stage.post("/v1/responses", {**asked, "input": "x", "previous_response_id": first.id}, "bob")
    assert stranger.status_code == 400
    await stage.call("DELETE", f"/v1/responses/{first.id}")
    assert (await stage.get(f"/v1/responses/{first.id}")).status_code == 404
    gone = await stage.post("/v1/responses", {**asked, "input": "x", "previous_response_id": first.id})
    assert gone.status_code == 400
    await owner.execute("DELETE FROM chat.messages WHERE session_id <> 'fork'")
    assert (await stage.get(f"/v1/responses/{zero.id}")).status_code == 404, "a copy is no response"
    copied = await stage.post("/v1/responses", {**asked, "input": "x", "previous_response_id": zero.id})
    assert copied.status_code == 400
