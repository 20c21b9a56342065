"""Avinode's answers are read for what they say; what is missing or odd costs that field, not the answer."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.workflow.avinode.answers import understood, wanted_wait_s
from services.workflow.avinode.errors import (
    AvinodeAway,
    AvinodeForbidden,
    AvinodeLocked,
    AvinodeMissing,
    AvinodeRefused,
    AvinodeUnclear,
    Unreadable,
)
from services.workflow.avinode.resources import read_message, read_quote, read_rfq, read_trip
from services.workflow.facts import Found, Lift, Message, Quote, Rfq

AT = datetime(2030, 4, 1, 13, tzinfo=UTC)
QUOTED_AT = datetime(2030, 4, 1, 12, 20, tzinfo=UTC)


def answered(**data: Any) -> dict[str, Any]:
    return {"meta": {"errors": [], "warnings": [], "infos": []}, "data": data}


def link(avinode_id: str) -> dict[str, str]:
    return {"id": avinode_id, "href": "https://elsewhere.example", "type": "links"}


TRIP = {
    "id": "atrip-900000001",
    "type": "trips",
    "tripId": "SIM7K2",
    "externalTripId": "our-own",
    "segments": [
        {
            "startAirport": {"icao": "KTEB"},
            "endAirport": {"icao": "KPBI"},
            "dateTime": {"date": "2030-05-04", "time": "09:30", "departure": True, "local": True},
            "paxCount": "6",
        },
        {"startAirport": {"icao": "KPBI"}, "endAirport": {"icao": "KTEB"}, "paxCount": 4},
    ],
    "actions": {"searchInAvinode": {"href": "https://avinode.test/search/load/atrip-900000001"}},
    "rfqs": [
        {"id": "arfq-1", "sellerLift": [], "links": {"tripmsgs": [link("abuyermsg-1")]}},
        {"id": "arfq-2"},
        {"id": "not an id"},
    ],
    "links": {"rfqs": [link("arfq-1"), link("arfq-3")], "tripmsgs": [link("asellermsg-1"), link("abuyermsg-1")]},
}
LIFT = {
    "id": "asellerlift-900000201",
    "aircraftType": "Simulated Midsize",
    "aircraftTail": "SIM-001",
    "sourcingStatus": 2,
    "sourcingDisplayStatus": "Accepted",
    "links": {"quotes": [link("aquote-900000501")]},
}
MESSAGE = {
    "id": "asellermsg-900000301",
    "tripId": "SIM7K2",
    "message": "Simulated offer.",
    "createdOn": "2030-04-01T12:20:00Z",
    "sellerCompany": {"id": "acompany-900002", "displayName": "Simulated Operator A"},
    "links": {"rfqs": [link("arfq-900000101")]},
}
SELLER_QUOTE = {
    "id": "aquote-900000502",
    "sellerPrice": {"price": 33500, "currency": "USD"},
    "createdOn": "2030-04-01T12:19:59Z",
}


def test_a_trip_is_read_with_its_route_links_and_deep_link() -> None:
    trip = read_trip(answered(**TRIP), AT)
    assert (trip.avinode_trip_id, trip.trip_code, trip.external_trip_id) == ("atrip-900000001", "SIM7K2", "our-own")
    assert trip.route[0] == {"from": "KTEB", "to": "KPBI", "date": "2030-05-04", "time": "09:30"}
    assert trip.route[1] == {"from": "KPBI", "to": "KTEB", "date": None, "time": None}
    assert trip.pax == 6
    assert trip.deep_link == "https://avinode.test/search/load/atrip-900000001"
    assert [reading.rfq.rfq_id for reading in trip.rfqs] == ["arfq-1"]
    assert trip.rfq_ids == ("arfq-2", "arfq-3")
    assert trip.message_ids == ("asellermsg-1", "abuyermsg-1")


def test_the_code_of_a_created_trip_may_stand_beside_the_data() -> None:
    assert read_trip({"tripId": "SIM7K2", "data": {"id": "atrip-1"}}, AT).trip_code == "SIM7K2"
    assert read_trip({"data": {"id": "atrip-1"}}, AT).trip_code is None


@pytest.mark.parametrize("href", ["javascript:alert(1)", "data:text/html,x", "//avinode.test/x", "http://[x", 7])
def test_a_deep_link_leads_to_the_web(href: object) -> None:
    actions = {"searchInAvinode": {"href": href}, "viewInAvinode": {"href": "https://avinode.test/view"}}
    assert read_trip(answered(id="atrip-1", actions=actions), AT).deep_link == "https://avinode.test/view"


def test_an_rfq_is_read_with_its_lifts_and_their_quotes() -> None:
    data = {"id": "arfq-1", "tripId": "SIM7K2", "sellerCompany": {"id": "acompany-2", "displayName": "Operator"}}
    reading = read_rfq(answered(**data, canceled=True, sellerLift=[LIFT, {"id": 7}, "odd"]), AT)
    assert reading.rfq == Rfq(
        rfq_id="arfq-1", operator_id="acompany-2", operator_name="Operator", canceled=True, fetched_at=AT
    )
    assert reading.lifts == (
        Lift(
            lift_id="asellerlift-900000201",
            rfq_id="arfq-1",
            aircraft_type="Simulated Midsize",
            aircraft_tail="SIM-001",
            sourcing_status=2,
            sourcing_display_status="Accepted",
            fetched_at=AT,
        ),
    )
    assert reading.quotes_by_lift == {"aquote-900000501": "asellerlift-900000201"}
    assert reading.trip_code == "SIM7K2"


@pytest.mark.parametrize("status", [True, 2.5, "2", 10**12, None])
def test_an_odd_status_is_no_status(status: object) -> None:
    reading = read_rfq(answered(id="arfq-1", sellerLift=[{"id": "asellerlift-1", "sourcingStatus": status}]), AT)
    assert reading.lifts[0].sourcing_status is None


def test_a_message_with_a_quote_is_a_quote() -> None:
    reading = read_message(answered(**MESSAGE, rfqAccepted=True, sellerQuote=SELLER_QUOTE, lift=[LIFT]), AT)
    assert reading.quote == Quote(
        quote_id="aquote-900000502",
        rfq_id="arfq-900000101",
        lift_id="asellerlift-900000201",
        estimate=False,
        price_cents=3350000,
        currency="USD",
        message="Simulated offer.",
        quoted_at=QUOTED_AT,
        fetched_at=AT,
    )
    assert (reading.message.kind, reading.message.quote_id) == ("quote", "aquote-900000502")
    assert (reading.message.sender, reading.message.sent_at) == ("Simulated Operator A", QUOTED_AT)


def test_a_quote_for_several_lifts_is_of_none_of_them() -> None:
    lifts = [LIFT, {**LIFT, "id": "asellerlift-900000202"}]
    quote = read_message(answered(**MESSAGE, sellerQuote=SELLER_QUOTE, lift=lifts), AT).quote
    assert quote is not None
    assert quote.lift_id is None


def test_a_message_that_does_not_accept_is_a_refusal() -> None:
    message = read_message(answered(**MESSAGE, rfqAccepted=False, declineReason="OTHER", lift=[LIFT]), AT).message
    assert (message.kind, message.reason, message.lift_ids) == ("decline", "OTHER", ("asellerlift-900000201",))


def test_any_other_message_is_a_chat() -> None:
    assert read_message(answered(**MESSAGE), AT).message.kind == "chat"
    assert read_message(answered(**MESSAGE, sellerQuote={"id": None}), AT).message.kind == "chat"


def test_a_quote_in_a_message_of_no_known_rfq_is_left_to_the_trip() -> None:
    reading = read_message(answered(**{**MESSAGE, "links": {}}, sellerQuote=SELLER_QUOTE), AT)
    assert (reading.message.kind, reading.quote) == ("quote", None)


@pytest.mark.parametrize(("flag", "estimate"), [(True, True), (False, False), (None, True), ("no", True)])
def test_a_linked_quote_is_the_sellers_only_where_avinode_says_so(flag: object, estimate: bool) -> None:
    data = {"id": "aquote-1", "avinodeGenerated": flag}
    assert read_quote(answered(**data), "arfq-1", "asellerlift-1", AT).estimate is estimate


@pytest.mark.parametrize(
    ("price", "currency", "read"),
    [
        (33500, "USD", (3350000, "USD")),
        (33500.5, "usd", (3350050, "USD")),
        ("1234.56", "EUR", (123456, "EUR")),
        (0.1 + 0.2, "USD", (30, "USD")),
        (None, "USD", (None, None)),
        (True, "USD", (None, None)),
        ("a lot", "USD", (None, None)),
        (float("nan"), "USD", (None, None)),
        (float("inf"), "USD", (None, None)),
        (10**30, "USD", (None, None)),
        (-1.5, "USD", (None, None)),
        (1, None, (None, None)),
        (1, "DOLLARS", (None, None)),
        (1, "ÄÖÜ", (None, None)),
        ([1], "USD", (None, None)),
    ],
)
def test_a_price_is_read_exactly_or_not_at_all(price: object, currency: object, read: object) -> None:
    quote = read_quote(
        answered(id="aquote-1", sellerPrice={"price": price, "currency": currency}), "arfq-1", "asellerlift-1", AT
    )
    assert (quote.price_cents, quote.currency) == read


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2030-04-01T12:20:00Z", QUOTED_AT),
        ("2030-04-01T12:20:00", QUOTED_AT),
        ("2030-04-01T14:20:00.000+02:00", QUOTED_AT),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (1900000000, None),
    ],
)
def test_a_time_is_read_as_utc_or_not_at_all(text: object, time: datetime | None) -> None:
    assert read_message(answered(id="abuyermsg-1", createdOn=text), AT).message.sent_at == time


def test_what_postgresql_cannot_hold_is_cleaned() -> None:
    assert read_message(answered(id="abuyermsg-1", message="a\x00b\ud800c"), AT).message.content == "ab?c"


# A name that no reader asks for would only make the search thinner: these are the names in the answers above.
NAMES = sorted(
    set(re.findall(r'"(\w+)":', orjson.dumps([TRIP, LIFT, MESSAGE, SELLER_QUOTE]).decode()))
    | {"sellerLift", "sellerQuote", "rfqAccepted", "lift", "declineReason", "canceled", "avinodeGenerated"}
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.sampled_from(["atrip-1", "arfq-1", "aquote-1", "asellerlift-1", "SIM7K2", "2030-05-04", "USD", "https://a.b"]),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=8)),
    max_leaves=25,
)
READERS: list[Callable[[Any], Any]] = [
    lambda body: read_trip(body, AT).rfqs,
    lambda body: read_rfq(body, AT).found,
    lambda body: read_message(body, AT).found,
    lambda body: Found(quotes=(read_quote(body, "arfq-1", "asellerlift-1", AT),)),
]


@settings(max_examples=400)
@given(st.one_of(anything, st.dictionaries(st.sampled_from(NAMES), anything).map(lambda data: {"data": data})))
def test_whatever_comes_is_read_or_unreadable_and_can_be_stored(body: Any) -> None:
    for read in READERS:
        try:
            found = read(body)
        except Unreadable:
            continue
        stored = orjson.dumps(found)  # refuses lone surrogates and numbers beyond 64 bits
        assert b"\\u0000" not in stored


def test_a_message_is_the_same_however_often_it_is_read() -> None:
    first = read_message(answered(**MESSAGE), AT).message
    assert first == read_message(answered(**MESSAGE), AT + timedelta(hours=1)).message
    assert isinstance(first, Message)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "0", "X-Rate-Limit-Reset": "9"}, 0),
        ({"Retry-After": "7", "X-Rate-Limit-Reset": "9"}, 7),
        ({"X-Rate-Limit-Reset": "9.5"}, 9.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "99999999"}, 3600),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_how_long_avinode_asks_us_to_wait(headers: dict[str, str], wait_s: float | None) -> None:
    assert wanted_wait_s(headers) == wait_s


@pytest.mark.parametrize(
    ("statuses", "error"),
    [
        ((400, 405, 406, 411, 413, 414, 415, 422, 431), AvinodeRefused),
        ((401,), AvinodeLocked),
        ((403,), AvinodeForbidden),
        ((404, 410), AvinodeMissing),
        ((101, 204, 301, 302, 307, 308, 402, 408, 409, 418, 425, 451), AvinodeUnclear),
        ((429, 500, 502, 503, 504, 599, 999), AvinodeAway),
    ],
)
def test_only_a_clear_refusal_is_one(statuses: tuple[int, ...], error: type[Exception]) -> None:
    for status in statuses:
        with pytest.raises(error) as caught:
            understood(status, {}, b"", usual_wait_s=1)
        assert type(caught.value) is error, status


@pytest.mark.parametrize(
    ("status", "headers", "is_acted_on", "wait_s"),
    [
        (429, {}, False, 3),
        (429, {"Retry-After": "7"}, False, 7),
        (429, {"Retry-After": "0"}, False, 0),  # at once, which is not the same as not to say
        (503, {"Retry-After": "0"}, False, 0),
        (503, {"Retry-After": "7"}, False, 7),
        (503, {}, None, 3),  # perhaps a proxy that lost the answer
        (500, {"Retry-After": "7"}, None, None),
    ],
)
def test_a_busy_avinode_did_nothing_and_one_that_failed_perhaps_did(
    status: int, headers: dict[str, str], is_acted_on: bool | None, wait_s: float | None
) -> None:
    with pytest.raises(AvinodeAway) as caught:
        understood(status, headers, b"", usual_wait_s=3)
    assert (caught.value.is_acted_on, caught.value.wait_s) == (is_acted_on, wait_s)


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"null", b"[" * 10**5, b'{"data": ' + b"9" * 5000 + b"}", b'{"meta": {"errors": [{}]}}']
)
def test_a_good_status_without_a_body_to_read_is_unclear(content: bytes) -> None:
    with pytest.raises(AvinodeUnclear):
        understood(200, {}, content, usual_wait_s=1)


@pytest.mark.parametrize("spelling", ["utf-8-sig", "latin-1", "utf-16"])
def test_an_answer_is_read_in_whatever_it_is_written(spelling: str) -> None:
    content = '{"data": {"name": "caf\u00e9"}}'.encode(spelling)
    assert understood(200, {}, content, usual_wait_s=1.0) == {"data": {"name": "caf\u00e9"}}


def test_a_good_answer_may_have_errors_beside_its_data() -> None:
    content = orjson.dumps({"meta": {"errors": [{"title": "odd"}]}, "data": {"id": "atrip-1"}})
    assert understood(200, {}, content, usual_wait_s=1)["data"] == {"id": "atrip-1"}
