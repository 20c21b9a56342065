"""What the API shows of trips that the workflow wrote."""

from uuid import UUID

import pytest

from tests.connected.gateway.stage import Rows, Stage, ids
from tests.connected.gateway.trips.whole_trip import trip_with_everything
from tests.pure.gateway.samples import minutes

SESSIONS = "/api/chat/sessions"


async def test_a_trip_is_shown_with_everything_that_is_known(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1", message_count=5)
    trip_id = await trip_with_everything(rows)
    answer = await gateway.get(f"/api/trips/{trip_id}")
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
async def test_a_trip_is_found_by_either_name_that_avinode_has_for_it(
    gateway: Stage, rows: Rows, reference: str
) -> None:
    trip_id = await trip_with_everything(rows)
    found = await gateway.get(f"/api/trips/{reference}")
    if reference.startswith("ATRIP"):
        assert found.status_code == 422
        return
    assert found.json()["id"] == str(trip_id)
    assert ids(await gateway.get("/api/trips", avinode_trip_id=reference), "trips") == [str(trip_id)]


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
async def test_trips_are_filtered(gateway: Stage, rows: Rows, query: dict[str, str], finds: bool) -> None:
    await trip_with_everything(rows)
    assert (len(ids(await gateway.get("/api/trips", **query), "trips")) == 1) is finds


async def test_every_session_about_a_trip_has_its_record(gateway: Stage, rows: Rows) -> None:
    trip_id = await rows.trip("s1", avinode_trip_id="atrip-1", started_at=minutes(0))
    await rows.tie("s2", trip_id, started_at=minutes(1))
    await rows.tie("s3", trip_id, user="bob", started_at=minutes(2))
    await rows.trip("s4", started_at=minutes(3))
    listed = await gateway.get("/api/trips", avinode_trip_id="atrip-1")
    assert [trip["conversation_id"] for trip in listed.json()["trips"]] == ["s2", "s1"]
    first = await gateway.get("/api/trips", limit=2)
    rest = await gateway.get("/api/trips", limit=2, cursor=first.json()["next_cursor"])
    conversations = [trip["conversation_id"] for page in (first, rest) for trip in page.json()["trips"]]
    assert conversations == ["s4", "s2", "s1"]


async def test_a_trips_status_is_of_the_moment_it_is_read(gateway: Stage, rows: Rows) -> None:
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
    listed = (await gateway.get("/api/trips")).json()["trips"]
    assert {UUID(trip["id"]): trip["status"] for trip in listed} == wanted


async def test_the_open_trip_is_the_sessions_before_older_ones(gateway: Stage, rows: Rows) -> None:
    await rows.session("s1")
    over = await rows.trip("s0", closed_at=minutes(0), outcome="cancelled")
    await rows.tie("s1", over, started_at=await rows.ages_ago(minutes=-5), is_open=False)
    current = await rows.trip("s1", started_at=minutes(0))
    session = (await gateway.get(f"{SESSIONS}/s1")).json()["session"]
    assert session["trip"]["id"] == str(current)
