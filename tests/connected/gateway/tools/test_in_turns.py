"""A model calls our tools: what it is told, what its user sees, and what it may not."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from services.gateway.turns import call_parts
from services.logger.store import Store
from shared.database import open_pool
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, open_stage
from tests.connected.gateway.tools.talking import SESSION, calls, chat, requests, trip_with_quotes
from tests.connected.workflow.stage import Stage as Workflow
from tests.connected.workflow.stage import running_workflow
from tests.waiting import until

LOOKING = "[tool trip_status {}] [tool list_quotes {}]"


def results(request: dict[str, Any]) -> list[str]:
    return [message["content"] for message in request["messages"] if message["role"] == "tool"]


async def test_what_tools_say_reaches_the_model_and_the_user(stage: Stage, rows: Rows) -> None:
    trip_id = await trip_with_quotes(rows)
    record = await chat(stage, f"{LOOKING} [echo Done.]")
    first, second = await requests(stage)
    assert [tool["function"]["name"] for tool in first["tools"]] == [
        "create_trip",
        "trip_status",
        "list_quotes",
        "prepare_proposal",
    ]
    assert "A1B2C3" in first["messages"][0]["content"], "the session's trip, in the instructions"
    status, quotes = results(second)
    assert '"trip_code":"A1B2C3"' in status
    assert '"usd-A1B2C3"' in quotes
    shown = calls(record)
    assert {part["state"] for part in shown.values()} == {"output-available"}
    assert shown["tool-trip_status"]["output"]["trip_id"] == str(trip_id)
    assert shown["tool-list_quotes"]["output"]["quotes"][0]["price"] == "33500.00"
    assert [part["type"] for part in record["message"]["parts"]] == [
        "tool-trip_status",
        "tool-list_quotes",
        "step-start",
        "text",
    ]
    assert (record["message"]["content"], record["finish_reason"]) == ("Done.", "stop")


async def test_each_round_has_a_trace_and_the_turn_what_they_cost_together(stage: Stage, rows: Rows) -> None:
    await trip_with_quotes(rows)
    record = await chat(stage, LOOKING)
    listed = (await stage.get("/api/analytics/traces/list", session_id=SESSION)).json()["traces"]
    assert sorted(trace["finish_reason"] for trace in listed) == ["stop", "tool_calls"]
    assert len({trace["id"] if "id" in trace else trace["trace_id"] for trace in listed}) == 2
    for kind in ("input_tokens", "output_tokens"):
        assert record["usage"][kind] == sum(trace[kind] for trace in listed) > 0


async def test_traces_of_all_rounds_are_on_some_page(stage: Stage, rows: Rows) -> None:
    await trip_with_quotes(rows)
    record = await chat(stage, "[tool trip_status {}] [rounds 3]")
    found: list[str] = []
    query: dict[str, Any] = {"session_id": SESSION, "limit": 1}
    while "cursor" not in query or query["cursor"] is not None:
        page = (await stage.get("/api/analytics/traces/list", **query)).json()
        found += [trace["trace_id"] for trace in page["traces"]]
        query["cursor"] = page["next_cursor"]
    name = record["message"]["id"]
    assert found == [f"{name}-4", f"{name}-3", f"{name}-2", name]
    assert (await stage.get(f"/api/analytics/traces/{name}-2")).json()["trace_id"] == f"{name}-2"


async def test_what_cannot_be_run_is_told_to_the_model_and_shown(stage: Stage, rows: Rows) -> None:
    await trip_with_quotes(rows)
    others = await trip_with_quotes(rows, "s9", "bob", code="B0B0B0")
    told = (
        '[tool fly {}] [tool list_quotes "{broken"] '
        f'[tool trip_status {{"trip": "{others}"}}] [tool create_trip {{}}] '
        '[tool prepare_proposal {"quote_ids": []}]'
    )
    record = await chat(stage, told)
    shown = calls(record)
    assert {part["state"] for part in shown.values()} == {"output-error"}
    errors = {name: part["errorText"] for name, part in shown.items()}
    assert "there is no such tool; there are: create_trip, trip_status" in errors["tool-fly"]
    assert errors["tool-create_trip"].startswith("segments: "), "before anybody is asked"
    assert "the arguments are no JSON" in errors["tool-list_quotes"]
    assert "no such trip" in errors["tool-trip_status"].lower(), "somebody else's is as one that there is not"
    assert errors["tool-prepare_proposal"].startswith("quote_ids: ")
    last = (await requests(stage))[-1]
    assert [each.removeprefix("Error: ") for each in results(last)] == [part["errorText"] for part in shown.values()]
    assert record["message"]["status"] == "complete"


async def test_the_trip_of_somebody_else_s_session_of_the_same_name_is_not_there(stage: Stage, rows: Rows) -> None:
    await trip_with_quotes(rows, SESSION, "bob", code="B0B0B0")
    record = await chat(stage, LOOKING)
    assert {part["errorText"] for part in calls(record).values()} == {"This conversation has no trip yet."}
    assert "B0B0B0" not in orjson.dumps(await requests(stage)).decode()


async def test_rounds_end(told: Settings, rows: Rows) -> None:
    async with open_stage(told.model_copy(update={"tool_rounds": 3})) as stage:
        await trip_with_quotes(rows)
        record = await chat(stage, "[tool trip_status {}] [rounds 9]")
        sent = await requests(stage)
    assert [request["parameters"].get("tool_choice") for request in sent] == [None, None, "none"]
    assert record["message"]["status"] == "interrupted"


async def test_a_tool_that_hangs_costs_no_more_than_its_time(
    told: Settings, rows: Rows, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "assistants"
    file.write_text('[helpers.charter]\nname = "C"\ninstructions = "Be one."\ntools = ["trip_status"]\n')
    await trip_with_quotes(rows)
    short = {"tool_call_s": 0.5, "helpers_file": str(file)}
    async with open_stage(told.model_copy(update=short)) as stage, owner.transaction():
        await owner.execute("LOCK TABLE workflow.trips IN ACCESS EXCLUSIVE MODE")
        record = await chat(stage, "[tool trip_status {}] [echo Later.]")
    assert calls(record)["tool-trip_status"]["errorText"] == "the tool gave no answer in 0.5 s"
    assert record["message"]["content"] == "Later."


async def test_who_stops_a_turn_while_its_tool_runs_is_shown_that_nobody_knows(
    told: Settings, rows: Rows, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "assistants"
    file.write_text('[helpers.charter]\nname = "C"\ninstructions = "Be one."\ntools = ["trip_status"]\n')
    await trip_with_quotes(rows)

    async def runs() -> bool:
        query = "SELECT jsonb_path_exists(partial_parts, '$[*].toolCallId') FROM gateway.turns"
        return bool(await owner.fetchval(query))

    async with open_stage(told.model_copy(update={"helpers_file": str(file)})) as stage, owner.transaction():
        await owner.execute("LOCK TABLE workflow.trips IN ACCESS EXCLUSIVE MODE")
        chatting = asyncio.create_task(chat(stage, "[tool trip_status {}]"))
        await until(runs, "the call to be kept")
        stopped = await stage.post(f"/api/chat/{SESSION}/stop")
        record = await chatting
    assert stopped.json()["status"] == record["message"]["status"] == "stopped"
    assert calls(record)["tool-trip_status"]["errorText"] == call_parts.UNKNOWN


async def test_a_result_that_is_too_long_is_cut(told: Settings, rows: Rows) -> None:
    async with open_stage(told.model_copy(update={"tool_result_bytes": 200})) as stage:
        await trip_with_quotes(rows)
        record = await chat(stage, "[tool trip_status {}]")
        last = (await requests(stage))[-1]
    output = calls(record)["tool-trip_status"]["output"]
    assert len(output["begins"]) == 200
    assert "only the first 200 of" in output["cut"]
    assert len(results(last)[0]) < 500


async def test_a_proposal_is_prepared_once(quiet: Workflow, told: Settings, rows: Rows) -> None:
    settings = quiet.settings.model_copy(update={"openai_base_url": told.openai_base_url})
    async with open_stage(settings) as stage, running_workflow(settings):
        await trip_with_quotes(rows)
        asked = '[tool prepare_proposal {"quote_ids": ["usd-A1B2C3"], "margin_percent": 10}]'
        headers = {**stage.as_user("ann"), "Idempotency-Key": "k1"}
        body = {"session_id": SESSION, "message": asked, "helper": "charter", "stream": False}
        records = [(await stage.http.post("/api/chat", json=body, headers=headers)).json() for _ in range(2)]
    first, again = (calls(record)["tool-prepare_proposal"] for record in records)
    assert first["output"]["options"][0]["client_price"] == "36850.00 USD"
    assert first == again
    assert [str(row["proposal_id"]) for row in await rows.fetch("SELECT proposal_id FROM workflow.proposals")] == [
        first["output"]["proposal_id"]
    ]


async def test_the_next_turn_s_model_is_told_what_tools_said(stage: Stage, rows: Rows) -> None:
    await trip_with_quotes(rows)
    await chat(stage, f"{LOOKING} [echo Done.]")
    await chat(stage, "[echo And now?]")
    await _store_all(stage, rows)
    await chat(stage, "[echo Later]")
    *_, second, third = await requests(stage)
    for request in (second, third):
        _, asked, called, status, quotes, said, *_ = request["messages"]
        assert [asked["role"], called["role"], status["role"], said["role"]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]
        assert [call["function"]["name"] for call in called["tool_calls"]] == ["trip_status", "list_quotes"]
        assert [call["id"] for call in called["tool_calls"]] == [status["tool_call_id"], quotes["tool_call_id"]]
        assert "A1B2C3" in status["content"]
        assert said["content"] == "Done."


async def _store_all(stage: Stage, rows: Rows) -> None:
    """Store all that was said, as the logger does, and trim the turns."""
    ids = await rows.fetch("SELECT turn_id FROM gateway.turns")
    turns = [await stage.store.find(row["turn_id"]) for row in ids]
    told = [event for turn in turns if turn is not None for event in turn.events()]
    heard = [type(event).model_validate_json(event.model_dump_json()) for event in told]
    async with open_pool(stage.settings.logger_database_url, "test", size=1) as pool:
        await Store(pool).store_chat(heard, [])
    await rows.run("DELETE FROM gateway.turns")


@pytest.mark.parametrize("visitors_order", [False, True])
async def test_a_visitor_is_told_to_sign_in(told: Settings, *, visitors_order: bool) -> None:
    async with open_stage(told.model_copy(update={"visitor_trips": visitors_order})) as stage:
        body = {"message": '[tool prepare_proposal {"quote_ids": ["x"]}]', "helper": "charter", "stream": False}
        record = (await stage.http.post("/api/chat", json=body)).json()
    error = calls(record)["tool-prepare_proposal"]["errorText"]
    assert ("sign in" in error) is not visitors_order
