"""Which traces are found, by whom and in what order, over HTTP on a real database."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from shared.ids import answer_id, new_id, user_hash
from tests.connected.gateway.stage import Rows, Stage
from tests.pure.gateway.samples import claim, minutes
from tests.tokens import token_for

PATH = "/api/analytics/traces"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def found(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [trace["trace_id"] for trace in answer.json()["traces"]]


async def limited(stage: Stage, projects: Sequence[str], path: str = PATH, **query: Any) -> httpx2.Response:
    token = token_for(stage.settings, "ann", projects=projects)
    return await stage.http.get(path, params=query, headers={"Authorization": f"Bearer {token}"})


async def begin_turn(stage: Stage, session_id: str, user: str = "ann", **fields: Any) -> str:
    """Begin a turn, and return its answer's id."""
    wanted = claim(user_id=user, session_id=session_id, **fields)
    await stage.store.claim(wanted)
    return str(answer_id(wanted.turn_id, 1))


async def test_a_page_begins_with_what_runs_and_goes_on_with_the_newest(gateway: Stage, rows: Rows) -> None:
    for number in range(5):
        await rows.trace(f"t{number}", at=number)
    await rows.trace("outside", at=-5, status="running", source="api")
    turn = await begin_turn(gateway, "s1")
    whole = [turn, "outside", "t4", "t3", "t2", "t1", "t0"]
    assert found(await gateway.get(PATH)) == found(await gateway.get(f"{PATH}/list")) == whole
    paged: list[str] = []
    cursor = None
    for _ in whole:
        answer = await gateway.get(PATH, limit=1, **({"cursor": cursor} if cursor else {}))
        paged += found(answer)
        cursor = answer.json()["next_cursor"]
    assert (paged, cursor) == (whole, None)


async def test_traces_of_one_moment_come_once_each(gateway: Stage, rows: Rows) -> None:
    for number in range(4):
        await rows.trace(f"t{number}")
    first = await gateway.get(PATH, limit=2)
    second = await gateway.get(PATH, limit=2, cursor=first.json()["next_cursor"])
    assert found(first) + found(second) == ["t3", "t2", "t1", "t0"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"session_id": "s1"}, ["t3", "t1"]),
        ({"model": "large"}, ["t2"]),
        ({"status": "error"}, ["t1"]),
        ({"status": "ok"}, ["t3", "t2"]),
        ({"status": "running"}, []),
        ({"w3c_trace_id": "0af7651916cd43dd8448eb211c80319c"}, ["t3", "t2"]),
        ({"w3c_trace_id": "0" * 32}, []),
        ({"from": minutes(2).isoformat()}, ["t3", "t2"]),
        ({"to": minutes(2).isoformat()}, ["t1"]),
        ({"from": minutes(2).isoformat(), "to": minutes(3).isoformat(), "model": "large"}, ["t2"]),
        ({"session_tag": "chat_model_a1b2c3_001"}, ["t3", "t1"]),
        ({"session_tag": "chat_model_a1b2c3_00*"}, ["t3", "t1"]),
        ({"session_tag": "chat_model_*"}, ["t3", "t2", "t1"]),
        ({"session_tag": "chat_model_brought"}, ["t2"]),
        ({"session_tag": "chat_model_b*"}, ["t2"]),
        ({"session_tag": "*"}, ["t3", "t2", "t1"]),
        ({"session_tag": "chat_model_a1b2c3_0"}, []),
        ({"session_tag": "chat%"}, []),
        ({"session_tag": "chat_model_a1b2c3_001", "status": "ok"}, ["t3"]),
    ],
)
async def test_filters_find_what_they_say(
    gateway: Stage, rows: Rows, query: dict[str, str], expected: list[str]
) -> None:
    await rows.session("s1")
    await rows.tag("s1", await rows.model("sandbox-small"), 1)
    w3c = {"w3c_trace_id": "0af7651916cd43dd8448eb211c80319c"}
    await rows.trace("t1", at=1, session_id="s1", status="error")
    await rows.trace(
        "t2", at=2, session_id="other", model="large", session_tag="chat_model_brought", source="api", **w3c
    )
    await rows.trace("t3", at=3, session_id="s1", **w3c)
    await rows.trace("theirs", at=3, user="eve", session_id="s1", session_tag="chat_model_a1b2c3_001", **w3c)
    assert found(await gateway.get(PATH, **query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"session_tag": "x" * 10_000},
        {"session_tag": ""},
        {"status": "fine"},
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"w3c_trace_id": "0AF7"},
        {"session_id": "s 1"},
        {"tag": "chat"},
        {"limit": "201"},
        {"cursor": "abc"},
    ],
)
async def test_what_cannot_be_meant_is_refused(gateway: Stage, query: dict[str, str]) -> None:
    assert (await gateway.get(PATH, **query)).status_code == 422


async def test_a_trace_has_the_tag_and_experiment_of_its_session(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", experiment_name="autumn")
    await rows.trace("t1", session_id="s1")
    assert (await gateway.get(f"{PATH}/t1")).json()["session_tag"] is None
    tag = await rows.tag("s1", await rows.model("sandbox-small"), 1)  # the tagger comes later than the logger
    shown = (await gateway.get(f"{PATH}/t1")).json()
    assert (shown["session_tag"], shown["experiment_name"]) == (tag, "autumn")
    await rows.session("s2")
    await rows.tag("s2", (await rows.model("m2", short_id="b1b2c3")), 2)
    await rows.trace("t2", session_id="s2")
    assert (await gateway.get(f"{PATH}/t2")).json()["experiment_name"] == "m2"


async def test_one_trace_leads_to_its_messages_and_its_trip(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.message("s1", "q1", 1)
    await rows.message("s1", "a1", 2, role="assistant", parent_id="q1")
    trip = await rows.trip("s1")
    cost: dict[str, Any] = {"cost": Decimal("0.000000123456789012"), "currency": "EUR", "input_tokens": 3}
    await rows.trace("a1", at=1, session_id="s1", message_id="a1", attributes={"k": [1]}, **cost)
    shown = (await gateway.get(f"{PATH}/a1")).json()
    assert (shown["question_id"], shown["message_id"], shown["trip_id"]) == ("q1", "a1", str(trip))
    assert (shown["cost"], shown["currency"], shown["attributes"]) == ("0.000000123456789012", "EUR", {"k": [1]})
    for path in shown["links"].values():
        assert (await gateway.get(path)).status_code == 200
    await rows.trace("alone", source="otlp")
    assert (await gateway.get(f"{PATH}/alone")).json()["links"] == {"session": None, "messages": None, "trip": None}


async def test_a_turn_is_seen_while_it_runs_and_when_it_hangs(gateway: Stage, rows: Rows) -> None:
    trace_id = await begin_turn(gateway, "s1", traceparent=TRACEPARENT, helper="broker")
    (shown,) = (await gateway.get(PATH, status="running", session_id="s1", model="sandbox-small")).json()["traces"]
    assert (shown["trace_id"], shown["hung"], shown["helper"]) == (trace_id, False, "broker")
    assert found(await gateway.get(PATH, w3c_trace_id=TRACEPARENT[3:35])) == [trace_id]
    await rows.run("UPDATE gateway.turns SET lease_until = clock_timestamp() - interval '1 second'")
    whole = (await gateway.get(f"{PATH}/{trace_id}")).json()
    assert (whole["status"], whole["hung"], whole["links"]["messages"]) == (
        "running",
        True,
        "/api/chat/sessions/s1/messages",
    )
    for query in (
        {"status": "ok"},
        {"session_id": "s2"},
        {"model": "m"},
        {"session_tag": "c*"},
        {"w3c_trace_id": "0" * 32},
    ):
        assert found(await gateway.get(PATH, **query)) == []
    assert found(await gateway.get(PATH, user="eve")) == []


async def test_analytics_off_hides_what_runs(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", analytics=False)
    trace_id = await begin_turn(gateway, "s1")
    assert found(await gateway.get(PATH)) == []
    assert (await gateway.get(f"{PATH}/{trace_id}")).status_code == 404
    opened = await gateway.post("/api/chat/sessions", {"id": "s2", "analytics": False})
    assert opened.status_code == 202, "no logger runs here: it is not stored"
    await begin_turn(gateway, "s2")
    seen = await begin_turn(gateway, "s3")
    assert found(await gateway.get(PATH)) == [seen]


async def test_nobody_sees_another_users_traces_but_administrators(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.tag("s1", await rows.model("sandbox-small"), 1)
    await rows.trace("t1", session_id="s1")
    running = await begin_turn(gateway, "s2")
    for trace_id in ("t1", running):
        assert (await gateway.get(f"{PATH}/{trace_id}", "eve")).status_code == 404
        assert (await gateway.get(f"{PATH}/{trace_id}", "root", "admin")).status_code == 404
        assert (await gateway.get(f"{PATH}/{trace_id}", "root", "admin", user_id="ann")).status_code == 200
    for query in ({}, {"session_id": "s1"}, {"session_tag": "chat*"}, {"session_tag": "chat_model_a1b2c3_001"}):
        assert found(await gateway.get(PATH, "eve", **query)) == []
    for path in (PATH, f"{PATH}/t1"):
        assert (await gateway.get(path, "eve", user_id="ann")).status_code == 403
        assert (await gateway.get(path, "eve", "service", user_id="ann")).status_code == 403
    assert found(await gateway.get(PATH, "root", "admin")) == [running, "t1"]
    assert found(await gateway.get(PATH, "root", "admin", user_id="eve")) == []
    for query in ({"session_tag": "chat*"}, {"session_tag": "chat_model_a1b2c3_001"}):
        assert found(await gateway.get(PATH, "root", "admin", **query)) == ["t1"]
    assert found(await gateway.get(PATH, "root", "admin", session_id="s1", user_id="ann")) == ["t1"]
    assert (await gateway.get(PATH, "root", "admin", session_id="s1")).status_code == 422


async def test_a_token_for_projects_sees_the_traces_of_their_sessions(gateway: Stage, rows: Rows) -> None:
    for number, project in enumerate(("p1", "p2", None)):
        await rows.session(f"s{number}", project_id=project)
        await rows.trace(f"t{number}", session_id=f"s{number}")
    await rows.trace("outside", source="api")
    await rows.trace("unknown", session_id="nowhere", source="api")
    running = [await begin_turn(gateway, f"new-{project}", project_id=project) for project in ("p1", "p2")]
    assert found(await limited(gateway, ["p1"])) == [running[0], "t0"]
    assert set(found(await limited(gateway, ["p2", "p1"]))) == {*running, "t0", "t1"}
    assert found(await limited(gateway, [])) == []
    assert found(await limited(gateway, ["p1"], session_id="s1")) == []
    for trace_id, status in (("t0", 200), ("t1", 404), ("t2", 404), ("outside", 404), (running[1], 404)):
        assert (await limited(gateway, ["p1"], f"{PATH}/{trace_id}")).status_code == status
    assert (await limited(gateway, ["p1"], user_id="eve")).status_code == 403


async def test_what_was_deleted_is_hidden_at_once(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    old, new = await rows.ages_ago(hours=1), await rows.ages_ago(hours=-1)
    await rows.trace("of session", session_id="s1", source="api")
    await rows.trace("told before", source="api", started_at=new, accepted_at=old)
    await rows.trace("told since", source="api", started_at=old, accepted_at=new)
    event = {"event_id": new_id(), "correlation_id": new_id()}
    await rows.insert("gateway.deletions", user_id="ann", session_id="s1", **event)
    assert set(found(await gateway.get(PATH))) == {"told before", "told since"}
    await rows.insert("gateway.erasures", user_id="ann", user_hash=user_hash("ann"), **event)
    assert found(await gateway.get(PATH)) == ["told since"]


async def test_many_sessions_of_a_tag_and_project_are_walked_through(gateway: Stage, rows: Rows) -> None:
    """More than are sorted, and more than a short walk finds them among."""
    await rows.model("m")
    await rows.run(
        """
        INSERT INTO chat.sessions (user_id, session_id, created_at, last_activity_at, project_id)
        SELECT 'ann', 's' || n, now(), now(), CASE WHEN n <= 600 THEN 'p1' ELSE 'p2' END FROM generate_series(1, 2000) n
        """
    )
    await rows.run(
        """
        INSERT INTO tagging.session_tags (user_id, session_id, model_id, number, session_tag, event_id)
        SELECT 'ann', 's' || n, model_id, n, CASE WHEN n <= 600 THEN 'old_' ELSE 'new_' END || n, gen_random_uuid()
        FROM generate_series(1, 2000) n, tagging.models
        """
    )
    await rows.run(
        """
        INSERT INTO chat.traces (user_id, session_id, trace_id, model, status, started_at, event_id)
        SELECT 'ann', 's' || n, 't' || n, 'm', 'ok', $1::timestamptz + n * interval '1 second', gen_random_uuid()
        FROM generate_series(1, 2000) n
        """,
        minutes(0),
    )
    assert found(await gateway.get(PATH, session_tag="old_*", limit=2)) == ["t600", "t599"]
    assert found(await limited(gateway, ["p1"], limit=2)) == ["t600", "t599"]
    assert found(await gateway.get(PATH, session_tag="old_77*", limit=3)) == ["t77"]
    assert found(await gateway.get(PATH, session_tag="old_600")) == ["t600"]
    assert found(await gateway.get(PATH, session_tag="new_*", limit=1)) == ["t2000"]
    before = (minutes(0) + timedelta(seconds=599)).isoformat()
    assert found(await gateway.get(PATH, "root", "admin", session_tag="old_*", to=before, limit=1)) == ["t598"]
