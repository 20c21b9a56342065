"""Every turn leaves a trace, also where others end it: its user, or whoever finds its gateway gone."""

from typing import Any

import pytest

from services.gateway.turns.turn import Turn
from shared.events import MessageEvent, decode
from tests.connected.gateway.stage import Log, Rows, Stage
from tests.pure.gateway.samples import claim

PATH = "/api/analytics/traces"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


async def running(stage: Stage, **fields: Any) -> Turn:
    turn = await stage.store.claim(claim(user_id="ann", session_id="s1", **fields))
    assert isinstance(turn, Turn)
    return turn


async def traced(stage: Stage, log: Log, turn: Turn) -> dict[str, Any]:
    """Store what a turn says, and return its trace."""
    for event in turn.events():
        told = decode(type(event).__name__, event.body())
        assert isinstance(told, MessageEvent)
        await log(told)
    answer = await stage.get(f"{PATH}/{turn.answer_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def shown_after(stage: Stage, log: Log, ended: Turn | None) -> dict[str, Any]:
    assert ended is not None
    shown = await traced(stage, log, ended)
    assert (shown["helper"], shown["w3c_trace_id"], shown["usage_source"]) == ("broker", TRACE_ID, "estimated")
    assert shown["question_id"] == ended.question.message_id
    found = (await stage.get(PATH)).json()["traces"]
    assert [trace["trace_id"] for trace in found] == [ended.answer_id], "it runs no more"
    return shown


async def test_a_turn_whose_gateway_is_gone_leaves_one(gateway: Stage, rows: Rows, log: Log) -> None:
    turn = await running(gateway, traceparent=TRACEPARENT, helper="broker")
    await rows.run("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    shown = await shown_after(gateway, log, await gateway.store.interrupt_expired(turn))
    assert (shown["status"], shown["error_class"]) == ("interrupted", "interrupted")
    assert shown["error"] == "The gateway that answered is gone."


@pytest.mark.usefixtures("rows")
async def test_a_turn_that_is_stopped_leaves_one(gateway: Stage, log: Log) -> None:
    turn = await running(gateway, traceparent=TRACEPARENT, helper="broker")
    shown = await shown_after(gateway, log, await gateway.store.stop(turn))
    assert (shown["status"], shown["error"], shown["error_class"]) == ("stopped", None, None)
