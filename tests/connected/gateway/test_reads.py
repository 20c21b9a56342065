"""What the API shows of rows that the other services wrote; and of nobody else's."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.gateway.http.cursors import write_cursor
from services.logger.store import Store
from shared.database import open_pool
from shared.events import MessageAnswered, MessageEvent, MessagePosted
from shared.ids import new_id
from shared.settings import Settings
from tests.connected.gateway.stage import Rows, Stage, ids, open_stage, own_database
from tests.dates import FLIGHT_DAY
from tests.pure.gateway.samples import claim, minutes
from tests.servers import Servers

SESSIONS = "/api/chat/sessions"
EMPTY = """
    DO $$ BEGIN EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
        WHERE schemaname IN ('chat', 'tagging', 'gateway', 'workflow')
    ); END $$
"""


@pytest.fixture(scope="module")
async def read_settings(servers: Servers, template: str) -> AsyncIterator[Settings]:
    """One database for all of these tests: emptying it takes a tenth of what making one takes."""
    async with own_database(servers, template) as settings:
        yield settings


@pytest.fixture(scope="module")
async def read_stage(read_settings: Settings) -> AsyncIterator[Stage]:
    async with open_stage(read_settings) as opened:
        yield opened


@pytest.fixture
async def rows(read_settings: Settings) -> AsyncIterator[Rows]:
    owner = await asyncpg.connect(read_settings.database_url)
    yield Rows(owner)
    await owner.execute(EMPTY)
    await owner.close()


@pytest.fixture
def stage(read_stage: Stage, rows: Rows) -> Stage:
    read_stage.http.cookies.clear()
    return read_stage


Log = Callable[[MessageEvent], Awaitable[None]]


@pytest.fixture
async def log(read_settings: Settings) -> AsyncIterator[Log]:
    """Store a message as the logger does."""
    async with open_pool(read_settings.logger_database_url, "test", size=1) as pool:
        yield lambda message: Store(pool).store_chat([message], [])


async def ask(stage: Stage, session_id: str, user: str = "ann", text: str = "hello") -> None:
    """Begin a turn whose events nobody has stored."""
    wanted = claim(text, user_id=user, session_id=session_id, project_id="p1", helper="h1")
    assert await stage.store.claim(wanted) is not None


async def test_a_session_is_shown_with_its_tag_and_its_trip(stage: Stage, rows: Rows) -> None:
    await rows.session(
        "s1", title="A trip to Palm Beach", title_source="message", helper="h", message_count=2, metadata={"a": [1]}
    )
    tag = await rows.tag("s1", await rows.model("sandbox-small"), 15)
    trip_id = await rows.trip("s1", avinode_trip_id="atrip-1", trip_code="A1B2C3", step="requesting_quotes")
    answer = await stage.get(f"{SESSIONS}/s1")
    session = answer.json()["session"]
    assert session["title"] == "A trip to Palm Beach"
    assert (session["session_tag"], session["tag_label"]) == (tag, "[sandbox-small #015]")
    assert (session["message_count"], session["metadata"], session["stored"]) == (2, {"a": [1]}, True)
    assert (session["trip"]["id"], session["trip"]["status"]) == (str(trip_id), "active")
    assert (session["current_step"], session["running_turn"]) == ("requesting_quotes", None)
    assert "etag" in answer.headers
    assert (await stage.get(SESSIONS)).json()["sessions"] == [session]


async def test_an_answer_that_is_stored_changes_only_the_second_half_of_the_etag(
    stage: Stage, rows: Rows, log: Log
) -> None:
    async def etag() -> list[str]:
        return (await stage.get(f"{SESSIONS}/s1")).headers["etag"].split(".")

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
    session = (await stage.get(f"{SESSIONS}/s1")).json()["session"]
    assert (session["title"], session["last_message"]) == ("A trip to Palm Beach", "Where to?")
    assert (len({edited for edited, _ in seen}), len({shown for _, shown in seen})) == (1, 4)
    await rows.run("UPDATE chat.sessions SET title = 't', title_source = 'user', updated_at = clock_timestamp()")
    assert (await etag())[0] != seen[0][0]


async def test_sessions_are_listed_by_activity_across_pages(stage: Stage, rows: Rows) -> None:
    for number in range(7):
        await rows.session(f"s{number}", at=number // 2)  # pairs share their time
    seen: list[str] = []
    cursor = None
    while True:
        page = await stage.get(SESSIONS, limit=3, **({"cursor": cursor} if cursor else {}))
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
        ({"pinned": False}, ["f", "d", "c", "b", "a"]),
        ({"archived": True}, ["f"]),
        ({"tag": "chat_model_a1b2c3_001"}, ["a"]),
        ({"tag": "chat_model_a1b2c3"}, []),
        ({"helper": "h", "model": "m"}, []),
    ],
)
async def test_sessions_are_filtered(stage: Stage, rows: Rows, query: dict[str, Any], found: list[str]) -> None:
    changes: list[dict[str, Any]] = [{}, {"helper": "h"}, {"project_id": "p"}, {"model": "m"}]
    changes += [{"pinned": True}, {"archived": True}]
    for number, change in enumerate(changes):
        await rows.session("abcdef"[number], at=number, **change)
    await rows.tag("a", await rows.model("sandbox-small"), 1)
    assert ids(await stage.get(SESSIONS, **query), "sessions") == found


async def test_a_session_that_only_runs_is_listed_in_its_place(stage: Stage, rows: Rows) -> None:
    for number in range(4):
        await rows.session(f"s{number}", at=number, helper="h1")
    await ask(stage, "fresh")
    await ask(stage, "s1", text="again")
    first = await stage.get(SESSIONS, limit=2)
    rest = await stage.get(SESSIONS, limit=10, cursor=first.json()["next_cursor"])
    assert ids(first, "sessions") == ["s1", "fresh"]
    assert ids(rest, "sessions") == ["s3", "s2", "s0"]
    s1 = first.json()["sessions"][0]
    assert (s1["last_message"], s1["stored"], s1["running_turn"] is None) == ("again", False, False)
    assert ids(await stage.get(SESSIONS, helper="h1", limit=1), "sessions") == ["s1"]
    assert ids(await stage.get(SESSIONS, project_id="p1"), "sessions") == ["fresh"]


async def test_a_deleted_session_is_gone_though_a_turn_of_it_is_left(stage: Stage, rows: Rows) -> None:
    await rows.session("s1", deleted_at=minutes(1))
    await ask(stage, "s1")
    assert ids(await stage.get(SESSIONS), "sessions") == []
    for path in ("", "/messages", "/tag"):
        assert (await stage.get(f"{SESSIONS}/s1{path}")).status_code == 404


async def test_messages_are_paged_in_both_directions(stage: Stage, rows: Rows) -> None:
    await rows.session("s1", at=9)
    for number in range(10):
        await rows.message("s1", f"m{number}", at=number // 2)
    path = f"{SESSIONS}/s1/messages"
    backwards: list[str] = []
    cursor = None
    while True:
        page = await stage.get(path, limit=4, **({"cursor": cursor} if cursor else {}))
        backwards = [*ids(page, "messages"), *backwards]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert backwards == [f"m{number}" for number in range(10)]
    forward = await stage.get(path, limit=4, after="m3")
    rest = await stage.get(path, limit=4, after="m3", cursor=forward.json()["next_cursor"])
    assert [*ids(forward, "messages"), *ids(rest, "messages")] == ["m4", "m5", "m6", "m7", "m8", "m9"]
    assert ids(await stage.get(path, before="m2"), "messages") == ["m0", "m1"]
    assert ids(await stage.get(path, limit=2, order="desc"), "messages") == ["m9", "m8"]


async def test_what_is_not_stored_yet_comes_after_what_is(stage: Stage, rows: Rows) -> None:
    await rows.session("s1", at=-60)
    parts = '[{"type":"text","text":"hi"}]'
    await rows.message("s1", "m1", at=-60, parts=parts, metadata={"k": 1}, model="m")
    await ask(stage, "s1", text="and now?")
    stored, fresh = (await stage.get(f"{SESSIONS}/s1/messages")).json()["messages"]
    assert (stored["id"], stored["parts"], stored["metadata"]) == ("m1", [{"type": "text", "text": "hi"}], {"k": 1})
    assert (stored["stored"], fresh["stored"], fresh["content"]) == (True, False, "and now?")


async def test_a_tag_is_shown_and_none_is_no_content(stage: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.session("s2")
    model = await rows.model("sandbox-small")
    await rows.tag("s1", model, 7)
    assert (await stage.get(f"{SESSIONS}/s1/tag")).json() == {
        "session_tag": "chat_model_a1b2c3_007",
        "counter": 7,
        "experiment_name": None,
        "model_id": str(model),
        "model_name": "sandbox-small",
    }
    assert (await stage.get(f"{SESSIONS}/s2/tag", wait=0.1)).status_code == 204


async def trip_with_everything(rows: Rows) -> UUID:
    """Write a trip of session s1 as Avinode and its broker would have left it."""
    trip_id, request_id, at = new_id(), new_id(), await rows.ages_ago(minutes=1)
    legs = '[{"from":"KTEB","to":"KPBI","date":"2030-05-04","time":null}]'
    await rows.insert(
        "workflow.trips",
        trip_id=trip_id,
        avinode_trip_id="atrip-1",
        trip_code="A1B2C3",
        deep_link="http://sim/ui/trips/buying/atrip-1",
        route=legs,
        pax=4,
        step="analyzing_options",
        operators_contacted_count=2,
        quotes_expected_count=1,
        quotes_received_count=1,
        primary_quote_id="aquote-2",
        last_activity_at=at,
    )
    await rows.insert(
        "workflow.trip_sessions",
        user_id="ann",
        session_id="s1",
        trip_id=trip_id,
        request_id=request_id,
        started_at=at,
        last_message_at=at,
    )
    await rows.insert(
        "workflow.requests",
        request_id=request_id,
        trip_id=trip_id,
        user_id="ann",
        session_id="s1",
        segments='[{"from_icao":"KTEB","to_icao":"KPBI","date":"2030-05-04","time":null}]',
        pax=4,
        criteria={"category": "midsize"},
        state="created",
        event_id=new_id(),
        created_at=at,
    )
    for number, declined in ((1, False), (2, True)):
        await rows.insert(
            "workflow.rfqs",
            rfq_id=f"arfq-{number}",
            trip_id=trip_id,
            operator_name=f"Operator {number}",
            declined=declined,
            decline_reason="no crew" if declined else None,
            fetched_at=at,
            created_at=at,
        )
    await rows.insert(
        "workflow.lifts",
        lift_id="asellerlift-1",
        rfq_id="arfq-1",
        trip_id=trip_id,
        aircraft_type="Simulated Midsize",
        sourcing_display_status="Accepted",
        fetched_at=at,
    )
    for number, estimate in ((1, True), (2, False)):
        await rows.insert(
            "workflow.quotes",
            quote_id=f"aquote-{number}",
            rfq_id="arfq-1",
            trip_id=trip_id,
            lift_id="asellerlift-1",
            estimate=estimate,
            price_cents=3_350_000,
            currency="USD",
            quoted_at=at,
            fetched_at=at,
        )
    await rows.insert(
        "workflow.trip_messages",
        avinode_message_id="asellermsg-1",
        trip_id=trip_id,
        rfq_id="arfq-1",
        kind="quote",
        content="An offer",
        quote_id="aquote-2",
        sent_at=at,
        fetched_at=at,
    )
    await rows.insert(
        "workflow.proposals",
        proposal_id=new_id(),
        trip_id=trip_id,
        quote_ids=["aquote-2"],
        margin_percent=7.5,
        prepared_at=at,
        event_id=new_id(),
    )
    return trip_id


async def test_a_trip_is_shown_with_everything_that_is_known(stage: Stage, rows: Rows) -> None:
    await rows.session("s1", message_count=5)
    trip_id = await trip_with_everything(rows)
    answer = await stage.get(f"/api/trips/{trip_id}")
    assert answer.status_code == 200, answer.text
    trip = answer.json()
    assert (trip["conversation_id"], trip["iso_agent_id"], trip["message_count"]) == ("s1", "ann", 5)
    assert (trip["status"], trip["current_step"]) == ("active", "analyzing_options")
    assert (trip["avinode_trip_id"], trip["trip_code"]) == ("atrip-1", "A1B2C3")
    assert (trip["departure_airport"], trip["arrival_airport"]) == ("KTEB", "KPBI")
    assert (trip["operator_name"], trip["price_cents"], trip["currency"]) == ("Operator 1", 3_350_000, "USD")
    assert (trip["aircraft_type"], trip["avinode_rfq_id"]) == ("Simulated Midsize", "arfq-1")
    assert trip["request"]["segments"] == trip["segments"]
    assert trip["request"]["criteria"] == {"category": "midsize"}
    assert [(rfq["id"], rfq["declined"], len(rfq["lifts"])) for rfq in trip["rfqs"]] == [
        ("arfq-1", False, 1),
        ("arfq-2", True, 0),
    ]
    assert [(quote["id"], quote["estimate"]) for quote in trip["quotes"]] == [("aquote-2", False), ("aquote-1", True)]
    assert trip["proposals"][0]["margin_percent"] == 7.5
    assert {entry["what"] for entry in trip["timeline"]} == {"requested", "rfq", "quote", "proposal_prepared"}


@pytest.mark.parametrize("reference", ["atrip-1", "A1B2C3", "a1b2c3", "ATRIP-1"])
async def test_a_trip_is_found_by_either_name_that_avinode_has_for_it(stage: Stage, rows: Rows, reference: str) -> None:
    trip_id = await trip_with_everything(rows)
    found = await stage.get(f"/api/trips/{reference}")
    if reference.startswith("ATRIP"):
        assert found.status_code == 422
        return
    assert found.json()["id"] == str(trip_id)
    assert ids(await stage.get("/api/trips", avinode_trip_id=reference), "trips") == [str(trip_id)]


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ({"session_id": "s1"}, True),
        ({"session_id": "s2"}, False),
        ({"step": "analyzing_options"}, True),
        ({"step": "proposal_ready"}, False),
        ({"avinode_rfq_id": "arfq-2"}, True),
        ({"avinode_rfq_id": "arfq-3"}, False),
        ({"quote_id": "aquote-1"}, True),
        ({"quote_id": "aquote-3"}, False),
        ({"avinode_rfp_id": "rfp-1"}, False),
        ({"request_id": "01890a5d-ac96-774b-bcce-b302099a8057"}, False),
    ],
)
async def test_trips_are_filtered(stage: Stage, rows: Rows, query: dict[str, str], finds: bool) -> None:
    await trip_with_everything(rows)
    assert (len(ids(await stage.get("/api/trips", **query), "trips")) == 1) is finds


async def test_every_session_about_a_trip_has_its_record(stage: Stage, rows: Rows) -> None:
    trip_id = await rows.trip("s1", avinode_trip_id="atrip-1", started_at=minutes(0))
    await rows.tie("s2", trip_id, started_at=minutes(1))
    await rows.tie("s3", trip_id, user="bob", started_at=minutes(2))
    await rows.trip("s4", started_at=minutes(3))
    listed = await stage.get("/api/trips", avinode_trip_id="atrip-1")
    assert [trip["conversation_id"] for trip in listed.json()["trips"]] == ["s2", "s1"]
    first = await stage.get("/api/trips", limit=2)
    rest = await stage.get("/api/trips", limit=2, cursor=first.json()["next_cursor"])
    conversations = [trip["conversation_id"] for page in (first, rest) for trip in page.json()["trips"]]
    assert conversations == ["s4", "s2", "s1"]


async def test_a_trips_status_is_of_the_moment_it_is_read(stage: Stage, rows: Rows) -> None:
    now = await rows.ages_ago()
    ago = {days: await rows.ages_ago(days=days) for days in (1, 91)}
    quiet = await rows.trip("s1", last_activity_at=ago[1])
    spoken = await rows.trip("s2", last_activity_at=ago[1])
    await rows.session("s2", last_activity_at=now)
    await rows.session("s1", last_activity_at=ago[1])
    sent = await rows.trip("s3", proposal_sent_at=ago[1])
    old = await rows.trip("s4", proposal_sent_at=ago[91])
    dropped = await rows.trip("s5", closed_at=now, outcome="cancelled")
    wanted = {quiet: "paused", spoken: "active", sent: "completed", old: "archived", dropped: "archived"}
    listed = (await stage.get("/api/trips")).json()["trips"]
    assert {UUID(trip["id"]): trip["status"] for trip in listed} == wanted


async def test_the_open_trip_is_the_sessions_before_older_ones(stage: Stage, rows: Rows) -> None:
    await rows.session("s1")
    over = await rows.trip("s0", closed_at=minutes(0), outcome="cancelled")
    await rows.tie("s1", over, started_at=await rows.ages_ago(minutes=-5), is_open=False)
    current = await rows.trip("s1", started_at=minutes(0))
    session = (await stage.get(f"{SESSIONS}/s1")).json()["session"]
    assert session["trip"]["id"] == str(current)


async def test_somebody_elses_is_not_found_by_any_route(stage: Stage, rows: Rows) -> None:
    await rows.session("s1")
    await rows.message("s1", "m1", at=0)
    await rows.tag("s1", await rows.model("sandbox-small"), 1)
    trip_id = await trip_with_everything(rows)
    await ask(stage, "s9")
    body = {"segments": [{"from": "KTEB", "to": "KPBI", "date": FLIGHT_DAY}], "pax": 2}
    for session_id in ("s1", "s9", "unknown"):
        for path in ("", "/messages", "/tag"):
            assert (await stage.get(f"{SESSIONS}/{session_id}{path}", user="bob")).status_code == 404
        assert (await stage.post(f"{SESSIONS}/{session_id}/trips", body, user="bob")).status_code == 404
    for reference in (trip_id, "atrip-1", "A1B2C3", new_id()):
        assert (await stage.get(f"/api/trips/{reference}", user="bob")).status_code == 404
    for path, plural in ((SESSIONS, "sessions"), ("/api/trips", "trips")):
        assert ids(await stage.get(path, user="bob"), plural) == []
        assert len(ids(await stage.get(path, user="ann"), plural)) > 0
    assert ids(await stage.get("/api/trips", user="bob", avinode_trip_id="atrip-1"), "trips") == []


async def test_a_user_reads_what_they_did_as_a_visitor_too(stage: Stage, rows: Rows) -> None:
    visitor = (await stage.http.post("/api/auth/visitor")).json()["visitor_id"]
    await rows.session("both", at=1, title="mine", title_source="user")
    await rows.session("both", at=4, user=visitor, title="the visitor's", title_source="user")
    await rows.session("then", at=3, user=visitor)
    await rows.session("now", at=2)
    assert ids(await stage.get(SESSIONS), "sessions") == ["both", "then", "now", "both"]
    first = await stage.get(SESSIONS, limit=2)
    rest = await stage.get(SESSIONS, limit=2, cursor=first.json()["next_cursor"])
    assert [*ids(first, "sessions"), *ids(rest, "sessions")] == ["both", "then", "now", "both"]
    assert (await stage.get(f"{SESSIONS}/both")).json()["session"]["title"] == "mine"
    assert (await stage.get(f"{SESSIONS}/then")).status_code == 200
    assert (await stage.get(f"{SESSIONS}/then", user="bob")).status_code == 200  # the cookie is bob's browser's
    stage.http.cookies.clear()
    assert (await stage.get(f"{SESSIONS}/then")).status_code == 404


async def test_models_are_listed_newest_first(stage: Stage, rows: Rows) -> None:
    for number, name in enumerate(("a", "b", "c")):
        await rows.model(name, at=number, short_id=f"a1b2c{number}")
    first = await stage.get("/api/models", limit=2)
    rest = await stage.get("/api/models", limit=2, cursor=first.json()["next_cursor"])
    assert [model["name"] for page in (first, rest) for model in page.json()["models"]] == ["c", "b", "a"]


async def test_dead_letters_are_for_administrators(stage: Stage, rows: Rows) -> None:
    for number, reason in enumerate(("undecodable", "unstorable", "undecodable")):
        await rows.insert(
            "chat.dead_letters",
            dead_letter_id=new_id(),
            queue="logger.chat",
            dedupe_key=str(number),
            body=b"secret words",
            reason=reason,
            error="why",
            received_at=minutes(number),
        )
    path = "/api/admin/dead"
    assert (await stage.get(path)).status_code == 403
    first = await stage.get(path, role="admin", limit=2)
    rest = await stage.get(path, role="admin", limit=2, cursor=first.json()["next_cursor"])
    letters = [letter for page in (first, rest) for letter in page.json()["dead_letters"]]
    assert [letter["reason"] for letter in letters] == ["undecodable", "unstorable", "undecodable"]
    assert letters[0]["size_bytes"] == len(b"secret words")
    assert "secret words" not in first.text
    assert len(ids(await stage.get(path, role="admin", reason="unstorable"), "dead_letters")) == 1
    assert ids(await stage.get(path, role="admin", state="dropped"), "dead_letters") == []


async def test_a_cursor_with_a_forged_place_is_refused(stage: Stage) -> None:
    forged = write_cursor("dead_letters", minutes(0), "not-a-uuid")
    answer = await stage.get("/api/admin/dead", role="admin", cursor=forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
