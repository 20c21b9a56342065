"""The rules of the simulated marketplace, and the notices that follow from them."""

from datetime import UTC, datetime, timedelta

import pytest

from deploy.sandbox.avinode.market.errors import RefusedError, UnknownIdError
from deploy.sandbox.avinode.market.ids import IdMaker, first_number, trip_code
from deploy.sandbox.avinode.market.inputs import (
    Airport,
    CancelOrder,
    ChatOrder,
    DateTime,
    DeclineOrder,
    NewTrip,
    QuoteOrder,
    Segment,
)
from deploy.sandbox.avinode.market.market import Market
from deploy.sandbox.avinode.market.trips import LiftStatus, Notice, Rfq
from deploy.sandbox.avinode.pages.html import Html, joined, tag
from deploy.sandbox.avinode.resources import Links, quote_json, rfq_json, soft_errors
from deploy.sandbox.avinode.rest.rate_limit import TokenBucket

NOW = datetime(2030, 4, 1, 12, tzinfo=UTC)
LINKS = Links("http://avinode.test", "http://avinode.test")


def wanted(start: str = "KTEB", end: str = "KPBI") -> NewTrip:
    segment = Segment(Airport(start), Airport(end), DateTime("2030-05-04"))
    return NewTrip([segment], criteria={}, sourcing=True)


class Stage:
    """A market, and the notices it gave."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.market = Market(self.notices.append, lambda: NOW, IdMaker())
        self.trip = self.market.create_trip(wanted())

    def ask(self, operators: int = 1) -> list[Rfq]:
        return self.market.send_rfqs(self.trip, self.market.next_operators(self.trip, operators))

    def told(self) -> list[tuple[str, str]]:
        return [(notice.event, notice.id) for notice in self.notices]


def test_creating_a_trip_tells_nobody() -> None:
    assert Stage().notices == []


def test_trip_is_found_by_id_and_by_code() -> None:
    stage = Stage()

    assert stage.market.trip(stage.trip.id) is stage.trip
    assert stage.market.trip(stage.trip.code) is stage.trip
    with pytest.raises(UnknownIdError, match="atrip-1"):
        stage.market.trip("atrip-1")


def test_each_rfq_is_announced_as_our_own() -> None:
    stage = Stage()
    rfqs = stage.ask(3)

    assert stage.told() == [("TripRequestMine", rfq.id) for rfq in rfqs]
    assert {notice.trip_code for notice in stage.notices} == {stage.trip.code}
    assert len({rfq.operator for rfq in rfqs}) == 3


def test_an_operator_is_asked_once() -> None:
    stage = Stage()
    [first] = stage.ask()
    [second] = stage.ask()

    assert first.operator != second.operator
    with pytest.raises(RefusedError, match="already asked: Simulated Operator A"):
        stage.market.send_rfqs(stage.trip, [first.operator])
    with pytest.raises(RefusedError, match="only 24 operators are left"):
        stage.ask(25)


def test_lift_has_an_estimate_before_any_answer() -> None:
    [rfq] = Stage().ask()
    [lift] = rfq.lifts

    assert lift.status is LiftStatus.UNANSWERED
    assert [quote_json(quote, LINKS)["avinodeGenerated"] for quote in lift.current_quotes] == [True]


def test_quote_is_a_message_with_the_sellers_price() -> None:
    stage = Stage()
    [rfq] = stage.ask()

    message = stage.market.submit_quote(rfq, QuoteOrder(price=33_500))

    assert stage.told()[1:] == [("TripRequestSellerResponse", message.id)]
    assert message.id.startswith("asellermsg-")
    assert message.accepted is True
    assert message.quote is not None
    assert (message.quote.price, message.quote.currency, message.quote.is_estimate) == (33_500, "USD", False)
    assert rfq.lifts[0].status is LiftStatus.ACCEPTED


def test_revision_is_a_new_message_and_a_new_quote_in_the_place_of_the_old() -> None:
    stage = Stage()
    [rfq] = stage.ask()
    first = stage.market.submit_quote(rfq, QuoteOrder(price=33_500))
    second = stage.market.submit_quote(rfq, QuoteOrder(price=31_000))

    assert first.id != second.id
    assert first.quote is not None
    assert second.quote is not None
    assert first.quote.id != second.quote.id
    assert [quote.price for quote in rfq.lifts[0].current_quotes] == [31_000, 31_000]
    assert rfq.lifts[0].current_quotes[1] is second.quote
    assert stage.market.quote(first.quote.id) is first.quote


def test_added_lift_announces_the_same_rfq_again() -> None:
    stage = Stage()
    [rfq] = stage.ask()

    lift = stage.market.add_lift(rfq)

    assert stage.told() == [("TripRequestMine", rfq.id)] * 2
    assert rfq.lifts[1] is lift
    assert lift.aircraft.tail != rfq.lifts[0].aircraft.tail


def test_one_lift_can_be_answered_while_the_other_waits() -> None:
    stage = Stage()
    [rfq] = stage.ask()
    lift = stage.market.add_lift(rfq)

    stage.market.submit_quote(rfq, QuoteOrder(price=1, lift=lift.id))

    assert [lift.status.name for lift in rfq.lifts] == ["UNANSWERED", "ACCEPTED"]
    with pytest.raises(UnknownIdError):
        stage.market.submit_quote(rfq, QuoteOrder(price=1, lift="asellerlift-0"))


def test_decline_of_an_rfq_declines_every_lift() -> None:
    stage = Stage()
    [rfq] = stage.ask()
    stage.market.add_lift(rfq)

    message = stage.market.decline(rfq, DeclineOrder(reason="CABOTAGE"))

    assert {lift.status for lift in rfq.lifts} == {LiftStatus.DECLINED}
    assert (message.accepted, message.quote, message.decline_reason) == (False, None, "CABOTAGE")
    assert stage.told()[-1] == ("TripRequestSellerResponse", message.id)


def test_decline_in_words_keeps_them_under_other() -> None:
    stage = Stage()
    [rfq] = stage.ask()

    message = stage.market.decline(rfq, DeclineOrder(reason="the crew is on holiday"))

    assert (message.decline_reason, message.text) == ("OTHER", "the crew is on holiday")


def test_chat_is_told_by_author() -> None:
    stage = Stage()
    [rfq] = stage.ask()
    theirs = stage.market.chat(rfq, ChatOrder("hello"))
    ours = stage.market.chat(rfq, ChatOrder("hello", author="buyer"))

    assert stage.told()[1:] == [("TripChatFromSeller", theirs.id), ("TripChatMine", ours.id)]
    assert theirs.id.startswith("asellermsg-")
    assert ours.id.startswith("abuyermsg-")
    assert theirs.accepted is None


def test_cancel_announces_the_same_rfq_once_more_and_then_no_more() -> None:
    stage = Stage()
    [rfq] = stage.ask()

    stage.market.cancel_rfq(rfq, CancelOrder())
    stage.market.cancel_rfq(rfq, CancelOrder())

    assert stage.told() == [("TripRequestMine", rfq.id)] * 2
    assert rfq_json(rfq, LINKS)["canceled"] is True


def test_canceled_rfq_takes_no_answer() -> None:
    stage = Stage()
    [rfq] = stage.ask()
    stage.market.cancel_rfq(rfq, CancelOrder())

    with pytest.raises(RefusedError, match="canceled"):
        stage.market.submit_quote(rfq, QuoteOrder(price=1))
    with pytest.raises(RefusedError, match="canceled"):
        stage.market.decline(rfq, DeclineOrder())
    with pytest.raises(RefusedError, match="canceled"):
        stage.market.add_lift(rfq)


def test_canceled_trip_cancels_its_rfqs_and_asks_no_more() -> None:
    stage = Stage()
    rfqs = stage.ask(2)

    stage.market.cancel_trip(stage.trip, CancelOrder())

    assert stage.told()[2:] == [("TripRequestMine", rfq.id) for rfq in rfqs]
    with pytest.raises(RefusedError, match="canceled"):
        stage.ask()


def test_ids_are_in_the_reserved_range_and_no_two_kinds_share_a_number() -> None:
    stage = Stage()
    [rfq] = stage.ask()
    ids = [stage.trip.id, rfq.id, rfq.lifts[0].id, rfq.lifts[0].quotes[0].id, rfq.messages[0].id]

    assert [one.split("-")[0] for one in ids] == ["atrip", "arfq", "asellerlift", "aquote", "abuyermsg"]
    assert len({one.split("-")[1] for one in ids}) == 5
    assert all(one.split("-")[1].startswith("900") for one in ids)


def test_trip_codes_are_six_characters_and_differ() -> None:
    ids = IdMaker(first_number(NOW))
    codes = {trip_code(ids.take("atrip")) for _ in range(2_000)}

    assert len(codes) == 2_000
    assert all(len(code) == 6 and code.isalnum() and code == code.upper() for code in codes)


def test_a_later_process_counts_from_higher() -> None:
    assert first_number(NOW + timedelta(seconds=1)) > first_number(NOW)


@pytest.mark.parametrize(
    ("code", "is_good"), [("KTEB", True), ("TEB", False), ("kteb", False), ("XXXX", False), ("ZZZZ", False)]
)
def test_airport_that_is_no_icao_code_is_a_soft_error(code: str, is_good: bool) -> None:
    trip = Stage().market.create_trip(wanted(end=code))

    assert [error["code"] for error in soft_errors(trip)] == ([] if is_good else ["END_AIRPORT_INVALID"])


def test_token_bucket_allows_a_burst_and_refills() -> None:
    now = 0.0
    bucket = TokenBucket(per_s=2, burst=3, now=lambda: now)

    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert bucket.headers() == {
        "X-Rate-Limit-Limit": "3",
        "X-Rate-Limit-Remaining": "0",
        "X-Rate-Limit-Reset": "2",
    }
    now = 0.5
    assert [bucket.take(), bucket.take()] == [True, False]
    now = 100.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_html_escapes_what_is_not_html() -> None:
    assert joined("<b>", tag("i", "&")) == "&lt;b&gt;<i>&amp;</i>"
    assert tag("input", value='"><script>', required=True, checked=False) == (
        '<input value="&quot;&gt;&lt;script&gt;" required>'
    )
    assert isinstance(tag("p"), Html)
