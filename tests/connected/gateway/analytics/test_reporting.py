"""Traces from outside, told at one gateway and read at another, as the logger stores them."""

from typing import Any

import httpx2
import pytest

from shared.ids import new_id
from tests.connected.gateway.sessions.conftest import Two
from tests.connected.gateway.stage import Stage
from tests.tokens import token_for

PATH = "/api/analytics/traces"
LATER = "2999-01-01T00:00:00Z"


@pytest.fixture
def user() -> str:
    return f"u{new_id().hex}"


def told(trace_id: str = "t1", /, **fields: Any) -> dict[str, Any]:
    usual = {"trace_id": trace_id, "model": "gpt", "status": "ok", "started_at": "2026-11-01T12:00:00Z"}
    return {name: value for name, value in {**usual, **fields}.items() if value is not ...}


async def tell(stage: Stage, user: str, body: Any) -> httpx2.Response:
    return await stage.post(PATH, body, user)


async def shown(stage: Stage, user: str) -> list[dict[str, Any]]:
    answer = await stage.get(PATH, user)
    assert answer.status_code == 200, answer.text
    traces: list[dict[str, Any]] = answer.json()["traces"]
    return traces


async def test_a_start_and_its_end_are_one_trace_at_every_gateway(gateways: Two, user: str, session: str) -> None:
    start = told(status="running", session_id=session, session_tag="mine_001")
    first = await tell(gateways.here, user, start)
    assert (first.status_code, first.json()) == (
        201,
        {"results": [{"index": 0, "trace_id": "t1", "error": None}], "stored": True},
    )
    (running,) = await shown(gateways.there, user)
    assert (running["status"], running["session_tag"]) == ("running", "mine_001")
    end = told(
        ttft_ms=5, duration_ms=900.5, input_tokens=3, output_tokens=4, cost="0.0012", currency="USD", streaming=True
    )
    assert (await tell(gateways.there, user, end)).status_code == 200
    assert (await tell(gateways.here, user, start)).status_code == 200, "a start that comes late is known"
    (over,) = await shown(gateways.here, user)
    wanted = {"status": "ok", "session_id": session, "session_tag": "mine_001", "duration_ms": 900.5, "cost": "0.0012"}
    assert {name: over[name] for name in wanted} == wanted
    assert (over["source"], over["usage_source"], over["streaming"]) == ("api", "reported", True)
    found = await gateways.here.get(PATH, user, session_tag="mine_*")
    assert [trace["trace_id"] for trace in found.json()["traces"]] == ["t1"]


async def test_a_list_is_stored_though_one_is_bad(gateways: Two, user: str) -> None:
    bad = told("bad", input_tokens=-1)
    answer = await tell(gateways.here, user, [told("a"), bad, told("b"), "nonsense", told("c", trace_id=...)])
    assert answer.status_code == 201, answer.text
    results = answer.json()["results"]
    assert [each["index"] for each in results] == [0, 1, 2, 3, 4]
    assert [each["error"] is None for each in results] == [True, False, True, False, True]
    assert results[1]["error"]["detail"].startswith("input_tokens")
    assert {trace["trace_id"] for trace in await shown(gateways.there, user)} == {"a", "b", results[4]["trace_id"]}


async def test_of_a_list_that_is_all_bad_each_is_named_and_nothing_is_stored(gateways: Two, user: str) -> None:
    answer = await tell(gateways.here, user, [told("a", model=""), "nonsense", told("b", output_tokens=-1)])
    assert answer.status_code == 422, answer.text
    results = answer.json()["results"]
    assert [each["index"] for each in results] == [0, 1, 2]
    named = [each["error"]["detail"].partition(":")[0] for each in (results[0], results[2])]
    assert named == ["model", "output_tokens"]
    assert await shown(gateways.there, user) == []


async def test_a_thousand_are_stored_at_once(gateways: Two, user: str) -> None:
    answer = await tell(gateways.here, user, [told(f"t{number}", session_id="s") for number in range(1000)])
    assert (answer.status_code, answer.json()["stored"]) == (201, True)
    page = await gateways.here.get(PATH, user, session_id="s", limit=200)
    assert (len(page.json()["traces"]), page.json()["has_more"]) == (200, True)
    assert (await tell(gateways.here, user, [told(f"t{number}") for number in range(1001)])).status_code == 422


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("status", {"status": "fine"}),
        ("status", {"status": ...}),
        ("model", {"model": ""}),
        ("model", {"model": "a\x00b"}),
        ("started_at", {"started_at": LATER}),
        ("started_at", {"started_at": 1_700_000_000}),
        ("started_at", {"started_at": "2026-11-01T12:00:00"}),
        ("duration_ms", {"duration_ms": -1}),
        ("ttft_ms", {"ttft_ms": 5, "duration_ms": 4}),
        ("ttft_ms", {"ttft_ms": 1e300}),
        ("output_tokens", {"output_tokens": -1}),
        ("output_tokens", {"output_tokens": 2**31}),
        ("session_tag", {"session_tag": "x" * 10_000}),
        ("trace_id", {"trace_id": "a b"}),
        ("session_id", {"session_id": "s/1"}),
        ("cost", {"cost": "1.5"}),
        ("cost", {"cost": "NaN", "currency": "EUR"}),
        ("cost", {"cost": "-1", "currency": "EUR"}),
        ("currency", {"cost": "1", "currency": "euro"}),
        ("w3c_trace_id", {"w3c_trace_id": "A" * 32}),
        ("error", {"error": "x" * 10_000}),
        ("tokens", {"tokens": 5}),
        ("attributes", {"attributes": {"x": "y" * 20_000}}),
    ],
)
async def test_what_cannot_be_is_refused_and_names_its_field(
    gateways: Two, user: str, field: str, fields: dict[str, Any]
) -> None:
    alone = await tell(gateways.here, user, told(**fields))
    assert alone.status_code == 422, alone.text
    if "\x00" in str(fields.get("model")):
        return  # of a body with a NUL nothing is read
    assert field in alone.json()["detail"]
    beside = await tell(gateways.here, user, [told("good"), told("bad", **fields)])
    assert beside.status_code == 201, beside.text
    assert field in beside.json()["results"][1]["error"]["detail"]
    assert [trace["trace_id"] for trace in await shown(gateways.there, user)] == ["good"]


@pytest.mark.parametrize("body", [[], "text", 5, None, [[]], {}])
async def test_what_is_no_trace_is_refused(gateways: Two, user: str, body: Any) -> None:
    assert (await tell(gateways.here, user, body)).status_code == 422


async def test_another_users_trace_id_is_a_trace_of_ones_own(gateways: Two, user: str) -> None:
    await tell(gateways.here, user, told(error="mine"))
    answer = await tell(gateways.there, f"{user}-eve", told(status="running", error="hers"))
    assert answer.status_code == 201, "as if nobody had it"
    assert [trace["error"] for trace in await shown(gateways.there, user)] == ["mine"]
    assert [trace["error"] for trace in await shown(gateways.here, f"{user}-eve")] == ["hers"]


async def test_a_session_without_analytics_a_deleted_one_and_a_turns_trace_are_refused(
    gateways: Two, user: str, session: str
) -> None:
    stage = gateways.here
    for name, more in (("off", {"analytics": False}), ("gone", {})):
        opened = await stage.post("/api/chat/sessions", {"id": f"{session}-{name}", **more}, user)
        assert opened.status_code == 201, opened.text
    assert (
        await stage.http.delete(f"/api/chat/sessions/{session}-gone", headers=stage.as_user(user))
    ).status_code < 300
    traces = [told(name, session_id=f"{session}-{name}") for name in ("off", "gone", "unknown")]
    answer = await tell(stage, user, traces)
    codes = [each["error"] and each["error"]["code"] for each in answer.json()["results"]]
    assert (answer.status_code, codes) == (201, ["analytics_off", "not_found", None])
    assert [trace["trace_id"] for trace in await shown(gateways.there, user)] == ["unknown"]


async def test_a_session_takes_its_traces_from_outside_with_it(gateways: Two, user: str, session: str) -> None:
    stage = gateways.here
    await stage.post("/api/chat/sessions", {"id": session}, user)
    assert (await tell(stage, user, [told("in", session_id=session), told("alone")])).status_code == 201
    assert (await stage.http.delete(f"/api/chat/sessions/{session}", headers=stage.as_user(user))).status_code < 300
    assert [trace["trace_id"] for trace in await shown(gateways.there, user)] == ["alone"]


async def test_a_token_for_projects_tells_of_their_sessions_alone(gateways: Two, user: str, session: str) -> None:
    stage = gateways.here
    for project in ("p1", "p2"):
        await stage.post("/api/chat/sessions", {"id": f"{session}-{project}", "project_id": project}, user)

    async def tell_as(projects: list[str], *traces: dict[str, Any]) -> httpx2.Response:
        token = token_for(stage.settings, user, projects=projects)
        return await stage.http.post(PATH, json=list(traces), headers={"Authorization": f"Bearer {token}"})

    names = ("p1", "p2", "unknown")
    answer = await tell_as(["p1"], *(told(name, session_id=f"{session}-{name}") for name in names), told("none"))
    codes = [each["error"] and each["error"]["code"] for each in answer.json()["results"]]
    assert (answer.status_code, codes) == (201, [None, "not_found", "not_found", "not_found"])
    assert (await tell_as([], told())).status_code == 403


async def test_while_the_logger_is_away_it_is_accepted_and_stored_on_its_return(gateways: Two, user: str) -> None:
    await gateways.logger.stop()
    try:
        headers = gateways.here.as_user(user) | {"Prefer": "respond-async"}
        answer = await gateways.here.http.post(PATH, json=told("first"), headers=headers)
        assert (answer.status_code, answer.json()["stored"]) == (202, False)
    finally:
        await gateways.logger.start()
    assert (await tell(gateways.there, user, told("second"))).status_code == 201
    assert {trace["trace_id"] for trace in await shown(gateways.there, user)} == {"first", "second"}


async def test_a_repeat_by_its_key_makes_no_second_trace(gateways: Two, user: str) -> None:
    headers = gateways.here.as_user(user) | {"Idempotency-Key": "k1"}
    body = [told(trace_id=...), told(trace_id=...)]
    answers = [await gateways.here.http.post(PATH, json=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json()["results"] == answers[1].json()["results"]
    assert len(await shown(gateways.there, user)) == 2
