"""Every turn leaves a trace, also where others end it: its user, or whoever finds its gateway gone."""

from typing import Any

import pytest

from services.gateway.turns.turn import Turn
from shared.events import MessageEvent, decode
from shared.ids import new_id, user_hash
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
    before = (await stage.get(PATH)).json()["traces"]
    whole = (await stage.get(f"{PATH}/{ended.answer_id}")).json()
    shown = await traced(stage, log, ended)
    assert before == (await stage.get(PATH)).json()["traces"], "it is shown as it will be stored"
    assert whole == shown
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


async def ended(stage: Stage, session_id: str, user: str = "ann", **fields: Any) -> str:
    """End a turn that nobody stores, and return its trace's id."""
    turn = await stage.store.claim(claim(user_id=user, session_id=session_id, **fields))
    assert isinstance(turn, Turn)
    assert await stage.store.stop(turn) is not None
    return turn.answer_id


async def found(stage: Stage, user: str = "ann", role: str = "user", **query: Any) -> list[str]:
    answer = await stage.get(PATH, user, role, **query)
    assert answer.status_code == 200, answer.text
    return [trace["trace_id"] for trace in answer.json()["traces"]]


async def test_a_turn_that_is_not_stored_yet_has_its_place_among_the_others(
    gateway: Stage, rows: Rows, log: Log
) -> None:
    first = await running(gateway)
    await rows.trace("between", started_at=await rows.ages_ago(), session_id="s9")
    ended_first = await gateway.store.stop(first)
    second = await ended(gateway, "s2")
    await rows.trace("newest", started_at=await rows.ages_ago(hours=-1))
    whole = ["newest", second, "between", first.answer_id]

    for _ in range(2):
        assert await found(gateway) == await found(gateway, "root", "admin") == whole
        paged: list[str] = []
        cursor: dict[str, Any] = {}
        for _ in whole:
            answer = (await gateway.get(PATH, limit=1, **cursor)).json()
            paged += [trace["trace_id"] for trace in answer["traces"]]
            cursor = {"cursor": answer["next_cursor"]}
        assert paged == whole
        assert cursor["cursor"] is None
        assert ended_first is not None
        await traced(gateway, log, ended_first)  # of which the row of the turn knows nothing yet


async def test_a_turn_that_is_not_stored_yet_is_found_by_what_its_trace_will_have(gateway: Stage, rows: Rows) -> None:
    tag = await rows.tag("s1", await rows.model("sandbox-small"), 1)
    trace_id = await ended(gateway, "s1", traceparent=TRACEPARENT)
    (shown,) = (await gateway.get(PATH)).json()["traces"]
    assert (shown["session_tag"], shown["experiment_name"]) == (tag, "sandbox-small")
    began = shown["started_at"]

    for query in (
        {"status": "stopped"},
        {"session_id": "s1"},
        {"model": "sandbox-small"},
        {"session_tag": tag},
        {"session_tag": "chat*"},
        {"w3c_trace_id": TRACE_ID},
        {"from": began},
    ):
        assert await found(gateway, **query) == [trace_id], query
    for query in (
        {"status": "ok"},
        {"status": "running"},
        {"session_id": "s2"},
        {"model": "m"},
        {"session_tag": "d*"},
        {"w3c_trace_id": "0" * 32},
        {"to": began},
    ):
        assert await found(gateway, **query) == [], query
    assert await found(gateway, "eve") == []
    assert (await gateway.get(f"{PATH}/{trace_id}", "eve")).status_code == 404


async def test_an_attempt_that_another_one_follows_is_found_before_it_is_stored(gateway: Stage, rows: Rows) -> None:
    turn = await running(gateway)
    await rows.run("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    over = await gateway.store.interrupt_expired(turn)
    assert over is not None

    again = await gateway.store.rerun(over, "test")

    assert again is not None
    assert await found(gateway) == [again.answer_id, turn.answer_id]


async def test_analytics_off_hides_what_is_not_stored_yet(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", analytics=False)
    opened = await gateway.post("/api/chat/sessions", {"id": "s2", "analytics": False})
    assert opened.status_code == 202, "no logger runs here: it is not stored"
    hidden = [await ended(gateway, session) for session in ("s1", "s2")]

    assert await found(gateway) == await found(gateway, "root", "admin") == []
    for trace_id in hidden:
        assert (await gateway.get(f"{PATH}/{trace_id}")).status_code == 404


async def test_what_is_to_go_is_hidden_from_administrators_too(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.trace("stored", session_id="s1", source="api")
    await rows.trace("outside", source="api")
    over, runs = await ended(gateway, "s2"), (await running(gateway)).answer_id
    other = await ended(gateway, "s1", "bob")
    assert set(await found(gateway, "root", "admin")) == {over, runs, "stored", "outside", other}

    event = {"event_id": new_id(), "correlation_id": new_id()}
    for session in ("s1", "s2"):
        await rows.insert("gateway.deletions", user_id="ann", session_id=session, **event)
    assert set(await found(gateway, "root", "admin")) == {"outside", other}
    assert await found(gateway, "root", "admin", user_id="ann") == ["outside"]
    for trace_id in (over, runs, "stored"):
        assert (await gateway.get(f"{PATH}/{trace_id}", "root", "admin", user_id="ann")).status_code == 404

    await rows.insert("gateway.erasures", user_id="ann", user_hash=user_hash("ann"), **event)
    assert await found(gateway, "root", "admin") == [other]
