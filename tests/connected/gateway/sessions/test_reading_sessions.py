"""What the API shows of sessions that the other services wrote."""

from typing import Any

import pytest

from shared.events import MessageAnswered, MessagePosted
from shared.ids import new_id
from tests.connected.gateway.stage import Log, Rows, Stage, ask, ids
from tests.pure.gateway.samples import minutes

SESSIONS = "/api/chat/sessions"


async def test_a_session_is_shown_with_its_tag_and_its_trip(gateway: Stage, rows: Rows) -> None:
    await rows.session(
        "s1", title="A trip to Palm Beach", title_source="message", helper="h", message_count=2, metadata={"a": [1]}
    )
    tag = await rows.tag("s1", await rows.model("sandbox-small"), 15)
    trip_id = await rows.trip("s1", avinode_trip_id="atrip-1", trip_code="A1B2C3", step="requesting_quotes")
    answer = await gateway.get(f"{SESSIONS}/s1")
    session = answer.json()["session"]
    assert session["title"] == "A trip to Palm Beach"
    assert (session["session_tag"], session["tag_label"]) == (tag, "[sandbox-small #015]")
    assert (session["message_count"], session["metadata"], session["stored"]) == (2, {"a": [1]}, True)
    assert (session["trip"]["id"], session["trip"]["status"]) == (str(trip_id), "active")
    assert (session["current_step"], session["running_turn"]) == ("requesting_quotes", None)
    assert "etag" in answer.headers
    assert (await gateway.get(SESSIONS)).json()["sessions"] == [session]


async def test_an_answer_that_is_stored_changes_only_the_second_half_of_the_etag(
    gateway: Stage, rows: Rows, log: Log
) -> None:
    async def etag() -> list[str]:
        return (await gateway.get(f"{SESSIONS}/s1")).headers["etag"].split(".")

    await rows.session("s1")
    seen = [await etag()]
    turn_id = new_id()
    said = {"user_id": "ann", "session_id": "s1", "turn_id": turn_id, "model": "another", "helper": "h"}
    await log(
        MessagePosted(**said, message_id="m1", role="user", content="A trip to Palm Beach", created_at=minutes(1))
    )
    seen.append(await etag())
    await log(MessageAnswered(**said, message_id="a1", content="Where to?", status="complete", created_at=minutes(2)))
    seen.append(await etag())
    await rows.trip("s1")
    seen.append(await etag())
    session = (await gateway.get(f"{SESSIONS}/s1")).json()["session"]
    assert (session["title"], session["last_message"]) == ("A trip to Palm Beach", "Where to?")
    assert (len({edited for edited, _ in seen}), len({shown for _, shown in seen})) == (1, 4)
    await rows.run("UPDATE chat.sessions SET title = 't', title_source = 'user', updated_at = clock_timestamp()")
    assert (await etag())[0] != seen[0][0]


async def test_sessions_are_listed_by_activity_across_pages(gateway: Stage, rows: Rows) -> None:
    for number in range(7):
        await rows.session(f"s{number}", at=number // 2)  # pairs share their time
    seen: list[str] = []
    cursor = None
    while True:
        page = await gateway.get(SESSIONS, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += ids(page, "sessions")
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == ["s6", "s5", "s4", "s3", "s2", "s1", "s0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"helper": "h"}, ["b"]),
        ({"project_id": "p"}, ["c"]),
        ({"model": "m"}, ["d"]),
        ({"pinned": True}, ["e"]),
        ({"pinned": False}, ["i", "h", "g", "d", "c", "b", "a"]),
        ({"archived": True}, ["f"]),
        ({"archived": False}, ["i", "h", "g", "e", "d", "c", "b", "a"]),
        ({"folder": "clients"}, ["g"]),
        ({"label": "x"}, ["i", "h"]),
        ({"label": ["x", "y"]}, ["i"]),
        ({"label": ["y", "x"], "pinned": True}, []),
        ({"label": ["x", "z"]}, []),
        ({"tag": "chat_model_a1b2c3_001"}, ["a"]),
        ({"tag": "chat_model_a1b2c3"}, []),
        ({"helper": "h", "model": "m"}, []),
    ],
)
async def test_sessions_are_filtered(gateway: Stage, rows: Rows, query: dict[str, Any], found: list[str]) -> None:
    changes: list[dict[str, Any]] = [{}, {"helper": "h"}, {"project_id": "p"}, {"model": "m"}]
    changes += [{"pinned": True}, {"archived": True}, {"folder": "clients"}, {"labels": ["x"]}, {"labels": ["y", "x"]}]
    for number, change in enumerate(changes):
        await rows.session("abcdefghi"[number], at=number, **change)
    await rows.tag("a", await rows.model("sandbox-small"), 1)
    assert ids(await gateway.get(SESSIONS, **query), "sessions") == found


async def test_a_session_that_only_runs_is_listed_in_its_place(gateway: Stage, rows: Rows) -> None:
    for number in range(4):
        await rows.session(f"s{number}", at=number, helper="h1")
    await ask(gateway, "fresh")
    await ask(gateway, "s1", text="again")
    first = await gateway.get(SESSIONS, limit=2)
    rest = await gateway.get(SESSIONS, limit=10, cursor=first.json()["next_cursor"])
    assert ids(first, "sessions") == ["s1", "fresh"]
    assert ids(rest, "sessions") == ["s3", "s2", "s0"]
    s1 = first.json()["sessions"][0]
    assert (s1["last_message"], s1["stored"], s1["running_turn"] is None) == ("again", False, False)
    assert ids(await gateway.get(SESSIONS, helper="h1", limit=1), "sessions") == ["s1"]
    # The first message that names a project gives it to its session, also before that is stored.
    assert ids(await gateway.get(SESSIONS, project_id="p1"), "sessions") == ["s1", "fresh"]


async def test_a_deleted_session_is_gone_though_a_turn_of_it_is_left(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", deleted_at=minutes(1))
    await ask(gateway, "s1")
    assert ids(await gateway.get(SESSIONS), "sessions") == []
    for path in ("", "/messages", "/tag"):
        assert (await gateway.get(f"{SESSIONS}/s1{path}")).status_code == 404


async def test_a_tag_is_shown_and_none_is_no_content(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.session("s2")
    model = await rows.model("sandbox-small")
    await rows.tag("s1", model, 7)
    assert (await gateway.get(f"{SESSIONS}/s1/tag")).json() == {
        "session_tag": "chat_model_a1b2c3_007",
        "counter": 7,
        "experiment_name": "sandbox-small",
        "model_id": str(model),
        "model_name": "sandbox-small",
    }
    assert (await gateway.get(f"{SESSIONS}/s2/tag", wait=0.1)).status_code == 204
