"""Going on from a response in a session that is long, or has much in it."""

import json
from typing import Any
from uuid import UUID

import asyncpg

from shared.ids import new_id
from tests.connected.gateway.stage import Rows, Stage

MODEL = "sandbox-small"
STEPS = 210  # calls with their results: more messages than are read of what led to a response


def call(number: int, **further: Any) -> str:
    made = {"type": "tool-f", "toolCallId": f"c{number}", "state": "input-available", "input": {"a": number}}
    return json.dumps([{**made, **further}])


async def answer(rows: Rows, number: int, parent: str, **columns: Any) -> str:
    turn_id = new_id()
    columns = {"role": "assistant", "content": "", "turn_id": turn_id, "parent_id": parent, **columns}
    await rows.message("s1", f"a{number}", 1 + number, **columns)
    return f"resp_{turn_id.hex}"


async def test_a_tool_is_called_however_often(stage: Stage, owner: asyncpg.Connection) -> None:
    rows = Rows(owner)
    await rows.session("s1", 0)
    await rows.message("s1", "r0", 0, content="[echo done]")
    for number in range(1, STEPS + 1):
        last = await answer(rows, number, f"r{number - 1}", parts=call(number))
        result = json.dumps([{"type": "tool-result", "toolCallId": f"c{number}", "output": "ok"}])
        columns = {"role": "tool", "content": "ok", "parts": result, "parent_id": f"a{number}"}
        await rows.message("s1", f"r{number}", 1.5 + number, **columns)
    await owner.execute("DELETE FROM chat.messages WHERE message_id = $1", f"r{STEPS}")
    output = {"type": "function_call_output", "call_id": f"c{STEPS}", "output": "ok"}
    asked = {"model": MODEL, "input": [output], "previous_response_id": last}
    told = await stage.post("/v1/responses", asked)
    assert told.status_code == 200, told.text
    long = {**asked, "input": [{**output, "output": "x" * 450_000}]}  # more than the model's context
    refused = await stage.post("/v1/responses", long)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
    other = await stage.post("/v1/responses", {**asked, "input": [{**output, "call_id": "other"}]})
    assert (other.status_code, other.json()["error"]["param"]) == (400, "input[0].call_id")


async def test_what_tools_gave_is_read_as_far_back_as_there_is_room(stage: Stage, owner: asyncpg.Connection) -> None:
    """Though the model is told only the beginning of each."""
    rows = Rows(owner)
    await rows.session("s1", 0)
    for number in range(4):
        parent = f"a{number - 1}" if number else None
        await rows.message("s1", f"q{number}", number + 0.5, content=f"question {number}", parent_id=parent)
        gave = call(number, state="output-available", output="x" * 900_000)
        last = await answer(rows, number, f"q{number}", content="so", parts=gave)
    told = await stage.post("/v1/responses", {"model": MODEL, "input": "[recall]", "previous_response_id": last})
    asked = json.loads(told.json()["output"][0]["content"][0]["text"])
    assert asked[-1] == "[recall]"
    assert "question 3" in asked
    assert "question 0" not in asked


async def test_turns_that_are_not_stored_are_read_as_far_back_as_there_is_room(
    stage: Stage, client: Any, owner: asyncpg.Connection
) -> None:
    """Whatever makes them large."""
    first = await client.responses.create(model=MODEL, input="[echo a]")
    second = await client.responses.create(model=MODEL, input="[echo b]", previous_response_id=first.id)
    asked = {"model": MODEL, "input": "[recall]", "previous_response_id": second.id}
    assert json.loads((await client.responses.create(**asked)).output_text) == ["[echo a]", "[echo b]", "[recall]"]
    thoughts = json.dumps({"type": "reasoning", "text": "x" * 1_200_000})
    await owner.execute(
        "UPDATE gateway.turns SET answer = jsonb_insert(answer, '{parts,0}', $2) WHERE turn_id = $1",
        UUID(first.id.removeprefix("resp_")),
        thoughts,
    )
    assert json.loads((await client.responses.create(**asked)).output_text) == ["[echo b]", "[recall]"]
