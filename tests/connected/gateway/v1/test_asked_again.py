"""Responses that are asked for again, by OpenAI's own client: what they were asked, and stopping one that runs."""

import asyncio
from typing import Any

import asyncpg
import openai
import pytest

from shared.settings import Settings
from tests.connected.gateway.stage import Stage
from tests.connected.gateway.v1.test_responses import MODEL, WEATHER, only_stored, said
from tests.waiting import until


async def listed(client: Any, response_id: str, **wanted: Any) -> list[dict[str, Any]]:
    """Return all items, page by page."""
    return [
        item.model_dump(exclude_none=True) async for item in client.responses.input_items.list(response_id, **wanted)
    ]


async def test_what_was_new_in_a_request_is_listed_while_its_row_is_there_and_after(
    stage: Stage, client: Any, owner: asyncpg.Connection, settings: Settings
) -> None:
    parts = [{"type": "input_text", "text": text} for text in ("one", "two")]
    calls = '[tool get_weather {"city": "x"}]'
    asked = [said("Be brief.", "developer"), {"role": "user", "content": parts}, said(calls)]
    first = await client.responses.create(model=MODEL, input=asked, tools=[WEATHER])
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "sunny"}
    second = await client.responses.create(model=MODEL, input=[result], previous_response_id=first.id, tools=[WEATHER])
    chat = await stage.post("/api/chat", {"message": "[echo hi]", "stream": False})
    chatted = f"resp_{chat.headers['x-turn-id'].replace('-', '')}"
    seen = []
    for keeps_turns in (True, False):
        if not keeps_turns:
            await only_stored(stage, owner, settings)
        all_of_it = await listed(client, first.id, order="asc")
        assert [item["role"] for item in all_of_it] == ["system", "user", "user"]
        assert [part["text"] for item in all_of_it for part in item["content"]] == [
            *("Be brief.", "one", "two", calls),
        ]
        assert await listed(client, first.id, limit=1) == all_of_it[::-1], "by pages of one, the last first"
        (output,) = await listed(client, second.id)
        assert (output["type"], output["call_id"], output["output"]) == (
            "function_call_output",
            first.output[0].call_id,
            "sunny",
        )
        ((question,),) = [(await listed(client, chatted))]
        assert question["content"][0]["text"] == "[echo hi]"
        seen.append([all_of_it, output, question])
    assert seen[0] == seen[1]


async def test_of_a_page_that_there_is_not_its_client_hears_why(stage: Stage, client: Any) -> None:
    made = await client.responses.create(model=MODEL, input="[echo a]")
    page = (await stage.get(f"/v1/responses/{made.id}/input_items", limit=5)).json()
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == (
        "list",
        page["data"][0]["id"],
        page["data"][0]["id"],
        False,
    )
    with pytest.raises(openai.BadRequestError) as unknown:
        await client.responses.input_items.list(made.id, after="msg_1")
    assert unknown.value.param == "after"
    for user, method, path in (("bob", "GET", "input_items"), ("bob", "POST", "cancel")):
        answer = await stage.call(method, f"/v1/responses/{made.id}/{path}", user=user)
        assert answer.status_code == 404
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.input_items.list(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.cancel(made.id)


async def test_a_response_that_is_answered_is_stopped_by_its_id_and_no_other_of_its_session_is(
    stage: Stage, client: Any, owner: asyncpg.Connection
) -> None:
    first = await client.responses.create(model=MODEL, input="[echo a]")
    asked = {"model": MODEL, "input": "[echo b c] [chunks 2] [slow 20000]", "previous_response_id": first.id}
    following = asyncio.create_task(client.responses.create(**asked))
    turn_id = await until(lambda: _running(owner), "it to run")
    assert (await client.responses.cancel(first.id)).status == "completed", "it had ended"
    assert await _running(owner) == turn_id
    second = f"resp_{turn_id.hex}"
    stopped = await client.responses.cancel(second)
    assert (stopped.id, stopped.status) == (second, "cancelled")
    assert (await following).status == "completed", "there is no event for the other word"
    for again in (client.responses.cancel(second), client.responses.retrieve(second)):
        assert (await again).status == "cancelled"


async def _running(owner: asyncpg.Connection) -> Any:
    return await owner.fetchval("SELECT turn_id FROM gateway.turns WHERE state = 'running'")
