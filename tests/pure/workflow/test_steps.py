"""Where a trip stands follows from what is known of it, in whatever order, how often and with what gaps it was told.

The marketplace of the sandbox plays Avinode; what it answered at some moment is kept and read late, twice or never.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.sandbox.avinode import resources as answers
from deploy.sandbox.avinode.market.errors import RefusedError
from deploy.sandbox.avinode.market.ids import IdMaker
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
from deploy.sandbox.avinode.market.trips import LiftStatus, Rfq
from services.workflow.avinode.resources import read_message, read_quote, read_rfq, read_trip
from services.workflow.facts import Facts, Found, Lift, Message, Quote, join
from services.workflow.facts import Rfq as RfqFact
from services.workflow.steps import STEPS, Standing, standing

LINKS = answers.Links("http://avinode.test", "http://avinode.test")
AT = datetime(2030, 1, 1, tzinfo=UTC)
Look = Callable[[], Found]


@dataclass
class Scene:
    """A trip at a simulated Avinode, and everything anybody could have read of it so far."""

    seconds: int = 0
    looks: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.market = Market(lambda notice: None, self.clock, IdMaker())
        leg = Segment(Airport("KTEB"), Airport("KPBI"), DateTime("2030-05-04"))
        self.trip = self.market.create_trip(NewTrip([leg], {}, True))

    def clock(self) -> datetime:
        self.seconds += 1
        return AT + timedelta(seconds=self.seconds)

    def act(self, action: str, which: int, price: int) -> None:
        """Do one thing at Avinode, where it can be done, and look at what it changed."""
        rfqs = self.trip.rfqs
        rfq = rfqs[which % len(rfqs)] if rfqs else None
        try:
            if action == "send":
                self.market.send_rfqs(self.trip, self.market.next_operators(self.trip, 1))
            elif action == "cancel trip":
                self.market.cancel_trip(self.trip, CancelOrder())
            elif rfq is not None:
                self._act_on(rfq, action, which, price)
        except RefusedError:
            return
        self.looks += [self.look_at_rfq(rfq) for rfq in rfqs] + [self.look_at_messages(), self.look_at_quotes()]

    def _act_on(self, rfq: Rfq, action: str, which: int, price: int) -> None:
        lift = rfq.lifts[which % len(rfq.lifts)].id
        match action:
            case "lift":
                self.market.add_lift(rfq)
            case "quote":
                self.market.submit_quote(rfq, QuoteOrder(price, lift=lift))
            case "decline lift":
                self.market.decline(rfq, DeclineOrder(lift=lift))
            case "decline":
                self.market.decline(rfq, DeclineOrder())
            case "chat":
                self.market.chat(rfq, ChatOrder("Which terminal?"))
            case "cancel":
                self.market.cancel_rfq(rfq, CancelOrder(message="Sorry."))

    def look_at_rfq(self, rfq: Rfq) -> Found:
        return read_rfq(answered(answers.rfq_json(rfq, LINKS)), self.clock()).found

    def look_at_messages(self, unless: Facts | None = None) -> Found:
        known = unless.messages if unless else {}
        shown = [message for rfq in self.trip.rfqs for message in rfq.messages if message.id not in known]
        readings = [read_message(answered(answers.message_json(message, LINKS)), self.clock()) for message in shown]
        return Found(
            messages=tuple(reading.message for reading in readings),
            quotes=tuple(reading.quote for reading in readings if reading.quote),
        )

    def look_at_quotes(self, unless: Facts | None = None) -> Found:
        known = unless.quotes if unless else {}
        found = [
            read_quote(answered(answers.quote_json(quote, LINKS)), rfq.id, lift.id, self.clock())
            for rfq in self.trip.rfqs
            for lift in rfq.lifts
            for quote in lift.current_quotes
            if quote.id not in known or known[quote.id].lift_id is None
        ]
        return Found(quotes=tuple(found))

    def reread(self, known: Facts) -> Facts:
        """Read the trip as the workflow does: itself, then what it links to and nobody has read."""
        trip = read_trip(answered(answers.trip_json(self.trip, LINKS)), self.clock())
        known = replace(known, at_avinode=True)
        known = join(known, Found(rfqs=tuple(reading.rfq for reading in trip.rfqs)))
        known = join(known, Found(lifts=tuple(lift for reading in trip.rfqs for lift in reading.lifts)))
        known = join(known, self.look_at_messages(unless=known))
        return join(known, self.look_at_quotes(unless=known))

    def truth(self) -> tuple[str, int, int, int]:
        """Tell step and counts from Avinode's own state, without our reader and rules."""
        rfqs = self.trip.rfqs
        expected = [rfq for rfq in rfqs if not rfq.is_canceled and not self._is_declined(rfq)]
        received = [rfq for rfq in expected if any(lift.status is LiftStatus.ACCEPTED for lift in rfq.lifts)]
        has_quote = any(len(lift.quotes) > 1 for rfq in rfqs for lift in rfq.lifts)
        step = "analyzing_options" if has_quote else "requesting_quotes" if rfqs else "searching_aircraft"
        return step, len(rfqs), len(expected), len(received)

    @staticmethod
    def _is_declined(rfq: Rfq) -> bool:
        return all(lift.status is LiftStatus.DECLINED for lift in rfq.lifts)


def answered(data: object) -> dict[str, Any]:
    return {"meta": {"errors": []}, "data": data}


def counts(of: Standing) -> tuple[str, int, int, int]:
    return of.step, of.contacted, of.expected, of.received


ACTIONS = ("send", "send", "lift", "quote", "quote", "decline", "decline lift", "chat", "cancel", "cancel trip")
histories = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3), st.integers(1, 90_000)), min_size=1, max_size=12
)


@settings(max_examples=300)
@given(histories, st.randoms(use_true_random=False), st.floats(0, 1))
def test_any_order_repetition_and_loss_converges_after_a_reread(
    history: list[tuple[str, int, int]], chance: random.Random, kept: float
) -> None:
    scene = Scene()
    for action, which, price in history:
        scene.act(action, which, price)
    told = [look for look in scene.looks for _ in range(chance.randint(0, 2)) if chance.random() <= kept]
    chance.shuffle(told)

    known, reached = Facts(), 0
    for look in told:
        known = join(known, look)
        now = standing(known)
        assert 0 <= now.received <= now.expected <= now.contacted
        assert STEPS.index(now.step) >= reached
        reached = STEPS.index(now.step)
    known = scene.reread(known)
    assert STEPS.index(standing(known).step) >= reached
    assert counts(standing(known)) == scene.truth()

    # Notices that come after all, however old, change nothing any more.
    chance.shuffle(told)
    for look in told:
        known = join(known, look)
    assert counts(standing(known)) == scene.truth()
    assert known == join(known, Found())
    assert standing(replace(known, proposal_prepared=True)).step == "proposal_ready"


@given(histories)
def test_notices_in_order_say_the_same_as_a_reread(history: list[tuple[str, int, int]]) -> None:
    scene = Scene()
    for action, which, price in history:
        scene.act(action, which, price)
    known = Facts()
    for look in scene.looks:
        known = join(known, look)
    reread = scene.reread(Facts())
    if known.rfqs:
        assert counts(standing(known)) == counts(standing(reread))
    assert known.rfqs == reread.rfqs
    assert known.lifts == reread.lifts
    assert known.messages == reread.messages
    own = {key: quote for key, quote in known.quotes.items() if key in reread.quotes}
    assert {key: quote.price_cents for key, quote in own.items()} == {
        key: quote.price_cents for key, quote in reread.quotes.items()
    }


def test_nothing_known_is_understanding_the_request() -> None:
    assert standing(Facts()) == Standing()


def test_an_estimate_is_no_quote() -> None:
    known = join(Facts(), Found(rfqs=(rfq(),), quotes=(quote(estimate=True),)))
    assert counts(standing(known)) == ("requesting_quotes", 1, 1, 0)


def test_an_estimate_that_the_seller_takes_over_is_a_quote_for_good() -> None:
    known = join(Facts(), Found(rfqs=(rfq(),), quotes=(quote(estimate=False),)))
    known = join(known, Found(quotes=(quote(estimate=True, seconds=9),)))
    assert counts(standing(known)) == ("analyzing_options", 1, 1, 1)


def test_a_revised_quote_replaces_the_one_before() -> None:
    old, new = quote("aquote-9", price_cents=5), quote("aquote-10", price_cents=4)
    now = standing(join(Facts(), Found(rfqs=(rfq(),), quotes=(new, old))))
    assert now.superseded == {"aquote-9"}
    assert now.received == 1


def test_the_later_of_two_quotes_stands_and_of_one_moment_the_higher_number() -> None:
    later, earlier = quote("aquote-9", said=2), quote("aquote-10", said=1)
    assert standing(join(Facts(), Found(rfqs=(rfq(),), quotes=(later, earlier)))).superseded == {"aquote-10"}
    same = (quote("aquote-9", said=1), quote("aquote-10", said=1))
    assert standing(join(Facts(), Found(rfqs=(rfq(),), quotes=same))).superseded == {"aquote-9"}


def test_quotes_for_two_lifts_both_stand() -> None:
    quotes = (quote("aquote-1", lift_id="asellerlift-1"), quote("aquote-2", lift_id="asellerlift-2"))
    assert standing(join(Facts(), Found(rfqs=(rfq(),), quotes=quotes))).superseded == frozenset()


def test_a_new_price_for_the_same_quote_is_a_new_revision() -> None:
    known = join(Facts(), Found(rfqs=(rfq(),), quotes=(quote(price_cents=500),)))
    for seconds, price_cents in ((2, 500), (3, 400), (3, 400), (1, 300)):
        known = join(known, Found(quotes=(quote(price_cents=price_cents, seconds=seconds),)))
    assert known.quotes["aquote-1"].revision == 2
    assert known.quotes["aquote-1"].price_cents == 400


def test_an_old_message_read_late_does_not_bring_its_price_back() -> None:
    known = join(Facts(), Found(rfqs=(rfq(),), quotes=(quote(price_cents=400, said=2, seconds=3),)))
    known = join(known, Found(quotes=(quote(price_cents=500, said=1, seconds=9),)))
    assert known.quotes["aquote-1"].price_cents == 400


def test_an_older_fetch_changes_nothing() -> None:
    known = join(Facts(), Found(rfqs=(rfq(canceled=True, seconds=5),)))
    assert join(known, Found(rfqs=(rfq(canceled=False, seconds=4),))).rfqs["arfq-1"].canceled
    assert not join(known, Found(rfqs=(rfq(canceled=False, seconds=6),))).rfqs["arfq-1"].canceled


def test_a_newer_reading_that_leaves_a_field_out_keeps_it() -> None:
    named = replace(rfq(seconds=1), operator_name="Simulated Operator A")
    known = join(Facts(), Found(rfqs=(named,)))
    known = join(known, Found(rfqs=(rfq(canceled=True, seconds=2),)))
    assert known.rfqs["arfq-1"] == replace(named, canceled=True)


def test_one_declined_lift_of_two_declines_nothing() -> None:
    known = join(Facts(), Found(rfqs=(rfq(),), lifts=(lift("asellerlift-1", 3), lift("asellerlift-2", 1))))
    assert counts(standing(known)) == ("requesting_quotes", 1, 1, 0)


def test_a_quote_whose_lift_was_declined_since_is_not_received() -> None:
    found = Found(
        rfqs=(rfq(),),
        lifts=(lift("asellerlift-1", 3), lift("asellerlift-2", 1)),
        quotes=(quote(lift_id="asellerlift-1"),),
    )
    assert counts(standing(join(Facts(), found))) == ("analyzing_options", 1, 1, 0)


def test_a_refusal_that_names_no_lift_declines_the_rfq_until_a_later_quote() -> None:
    refusal = message("asellermsg-1", "decline", seconds=1)
    known = join(Facts(), Found(rfqs=(rfq(),), messages=(refusal,)))
    assert standing(known).declined == {"arfq-1": "OTHER"}
    known = join(known, Found(messages=(message("asellermsg-2", "chat", seconds=2),)))
    assert standing(known).declined == {"arfq-1": "OTHER"}
    known = join(known, Found(messages=(message("asellermsg-3", "quote", seconds=3),)))
    assert standing(known).declined == {}


def test_a_refusal_of_a_lift_is_left_to_the_rfq() -> None:
    refusal = replace(message("asellermsg-1", "decline", seconds=1), lift_ids=("asellerlift-1",))
    known = join(Facts(), Found(rfqs=(rfq(),), lifts=(lift("asellerlift-1", 1),), messages=(refusal,)))
    assert standing(known).declined == {}


def test_a_quote_for_an_unknown_rfq_waits() -> None:
    assert join(Facts(), Found(quotes=(quote(),), lifts=(lift("asellerlift-1", 1),))) == Facts()


def at(seconds: int) -> datetime:
    return AT + timedelta(seconds=seconds)


def rfq(*, canceled: bool = False, seconds: int = 0) -> RfqFact:
    return RfqFact(rfq_id="arfq-1", canceled=canceled, fetched_at=at(seconds))


def lift(lift_id: str, status: int) -> Lift:
    return Lift(lift_id=lift_id, rfq_id="arfq-1", sourcing_status=status, fetched_at=AT)


def quote(
    quote_id: str = "aquote-1",
    *,
    estimate: bool = False,
    price_cents: int = 100,
    lift_id: str | None = None,
    said: int = 0,
    seconds: int = 0,
) -> Quote:
    return Quote(
        quote_id=quote_id,
        rfq_id="arfq-1",
        lift_id=lift_id,
        estimate=estimate,
        price_cents=price_cents,
        currency="USD",
        quoted_at=at(said),
        fetched_at=at(seconds),
    )


def message(message_id: str, kind: Any, *, seconds: int) -> Message:
    return Message(
        avinode_message_id=message_id,
        rfq_id="arfq-1",
        kind=kind,
        reason="OTHER" if kind == "decline" else None,
        sent_at=at(seconds),
        fetched_at=AT,
    )
