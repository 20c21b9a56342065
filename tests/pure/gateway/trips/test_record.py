"""A trip's status, and what happened to it in order."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from services.gateway.http.write_headers import Write
from services.gateway.sessions.status import status_of
from services.gateway.trips.ordering.order import AttachTrip, NewTrip, begun_by
from services.gateway.trips.records.expected import expected_trip
from services.gateway.trips.records.record import Proposal, Rfq, TripMessage, timeline_of
from shared.ids import new_id

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LEG = {"from": "KTEB", "to": "KPBI", "date": "2030-05-04", "time": "09:30"}


def write(key: str | None) -> Write:
    return Write(wait_s=0.0, key=key, correlation_id=new_id())


@pytest.mark.parametrize(
    ("outcome", "completed_ago", "quiet_for", "status"),
    [
        (None, None, timedelta(0), "active"),
        (None, None, timedelta(minutes=30) - timedelta(microseconds=1), "active"),
        (None, None, timedelta(minutes=30), "paused"),
        (None, None, timedelta(days=400), "paused"),
        (None, timedelta(0), timedelta(0), "completed"),
        (None, timedelta(days=1), timedelta(days=1), "completed"),
        ("completed", timedelta(days=90) - timedelta(microseconds=1), timedelta(days=90), "completed"),
        ("completed", timedelta(days=90), timedelta(days=90), "archived"),
        ("cancelled", timedelta(0), timedelta(0), "archived"),
        ("cancelled", None, timedelta(0), "archived"),
    ],
)
def test_status_follows_from_time_and_outcome(
    outcome: str | None, completed_ago: timedelta | None, quiet_for: timedelta, status: str
) -> None:
    completed_at = None if completed_ago is None else NOW - completed_ago
    found = status_of(outcome=outcome, completed_at=completed_at, last_activity_at=NOW - quiet_for, now=NOW)
    assert found == status


def test_everything_that_happened_is_in_order() -> None:
    order = NewTrip.model_validate({"segments": [LEG], "pax": 4})
    trip = expected_trip(begun_by(order, write(None), "u1", "s1"), 0)
    at = [trip.created_at + timedelta(minutes=minutes) for minutes in range(5)]
    rfq = Rfq(
        id="arfq-1",
        operator_id=None,
        operator_name="Operator A",
        canceled=False,
        declined=False,
        decline_reason=None,
        lifts=[],
        created_at=at[1],
    )
    message = TripMessage(
        id="asellermsg-1",
        rfq_id="arfq-1",
        kind="quote",
        sender="Seller",
        content="An offer",
        reason=None,
        quote_id="aquote-1",
        sent_at=at[2],
    )
    undated = message.model_copy(update={"id": "asellermsg-2", "sent_at": None})
    proposal = Proposal(
        id=new_id(),
        state="sent",
        quote_ids=["aquote-1"],
        margin_percent=5.0,
        note=None,
        prepared_at=at[3],
        sent_at=at[4],
    )
    timeline = timeline_of(trip, request=trip.request, rfqs=[rfq], messages=[undated, message], proposals=[proposal])
    assert [entry.what for entry in timeline] == ["requested", "rfq", "quote", "proposal_prepared", "proposal_sent"]


def test_the_same_key_of_the_same_session_is_the_same_event_and_trip() -> None:
    order = NewTrip.model_validate({"segments": [LEG], "pax": 4})
    first, again = (begun_by(order, write("key"), "u1", "s1") for _ in range(2))
    assert (first.event_id, first.trip_id) == (again.event_id, again.trip_id)
    others = [
        begun_by(order, write("other"), "u1", "s1"),
        begun_by(order, write("key"), "u1", "s2"),
        begun_by(order, write("key"), "u2", "s1"),
        begun_by(order, write(None), "u1", "s1"),
    ]
    assert len({event.trip_id for event in [first, *others]}) == 5


def test_a_day_that_is_still_going_on_somewhere_may_be_ordered() -> None:
    today_in_the_west = (datetime.now(UTC) - timedelta(hours=12)).date()
    order = {"segments": [{**LEG, "date": today_in_the_west.isoformat()}], "pax": 4}
    assert NewTrip.model_validate(order).segments[0].date == today_in_the_west.isoformat()
    order["segments"] = [{**LEG, "date": (today_in_the_west - timedelta(days=1)).isoformat()}]
    with pytest.raises(ValidationError, match="is in the past"):
        NewTrip.model_validate(order)


@pytest.mark.parametrize(
    ("given", "spelled", "field"),
    [("atrip-123", "atrip-123", "avinode_trip_id"), ("a1b2c3", "A1B2C3", "trip_code")],
)
def test_an_attached_trip_shows_the_reference_it_was_named_by(given: str, spelled: str, field: str) -> None:
    event = begun_by(AttachTrip(avinode_trip_id=given), write(None), "u1", "s1")
    trip = expected_trip(event, 2)
    assert getattr(trip, field) == spelled
    assert {trip.avinode_trip_id, trip.trip_code} == {spelled, None}
