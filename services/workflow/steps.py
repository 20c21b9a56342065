"""Where a trip stands: one pure function of all that is known of it.

The step rests on facts that never vanish, so it never goes back. The counts are of the present, and
received <= expected <= contacted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from services.workflow.facts import LONG_AGO, Facts, Message, Quote, Rfq

Step = Literal[
    "understanding_request", "searching_aircraft", "requesting_quotes", "analyzing_options", "proposal_ready"
]
STEPS: tuple[Step, ...] = (
    "understanding_request",
    "searching_aircraft",
    "requesting_quotes",
    "analyzing_options",
    "proposal_ready",
)


@dataclass(frozen=True)
class Standing:
    """What follows from the facts, and is kept beside them for reading."""

    step: Step = "understanding_request"
    contacted: int = 0  # operators asked
    expected: int = 0  # of these, the ones whose request is neither cancelled nor declined
    received: int = 0  # of these, the ones with a seller's own quote
    declined: Mapping[str, str | None] = field(default_factory=dict)  # RFQs, and why
    superseded: frozenset[str] = field(default_factory=frozenset)  # quotes that a later one replaced


def standing(facts: Facts) -> Standing:
    """Tell where a trip stands."""
    own = [quote for quote in facts.quotes.values() if not quote.estimate]
    answers = {rfq_id: _last_answer(rfq_id, facts) for rfq_id in facts.rfqs}
    declined = {rfq_id: _reason(last) for rfq_id, last in answers.items() if _is_declined(rfq_id, last, facts)}
    expected = {rfq.rfq_id for rfq in facts.rfqs.values() if _is_expected(rfq, declined)}
    quoted = {quote.rfq_id for quote in own if _stands(quote, facts)}
    return Standing(
        step=_step(facts, has_quote=bool(own)),
        contacted=len(facts.rfqs),
        expected=len(expected),
        received=len(expected & quoted),
        declined=declined,
        superseded=_superseded(own),
    )


def _step(facts: Facts, *, has_quote: bool) -> Step:
    if facts.proposal_prepared:
        return "proposal_ready"
    if has_quote:
        return "analyzing_options"
    if facts.rfqs:
        return "requesting_quotes"
    return "searching_aircraft" if facts.at_avinode else "understanding_request"


def _is_expected(rfq: Rfq, declined: Mapping[str, object]) -> bool:
    return not rfq.canceled and rfq.rfq_id not in declined


def _is_declined(rfq_id: str, last: Message | None, facts: Facts) -> bool:
    """Tell whether the operator declined all of an RFQ: each lift of it, or all at once as its last word."""
    lifts = [lift for lift in facts.lifts.values() if lift.rfq_id == rfq_id]
    if lifts and all(lift.declined for lift in lifts):
        return True
    return last is not None and last.kind == "decline" and not last.lift_ids


def _last_answer(rfq_id: str, facts: Facts) -> Message | None:
    answers = [message for message in facts.messages.values() if message.rfq_id == rfq_id and message.kind != "chat"]
    return max(answers, key=lambda answer: _order(answer.sent_at, answer.avinode_message_id), default=None)


def _reason(last: Message | None) -> str | None:
    return (last.reason or last.content) if last is not None and last.kind == "decline" else None


def _superseded(own: Iterable[Quote]) -> frozenset[str]:
    by_lift: defaultdict[tuple[str, str | None], list[Quote]] = defaultdict(list)
    for quote in own:
        by_lift[quote.rfq_id, quote.lift_id].append(quote)
    ordered = [sorted(quotes, key=lambda quote: _order(quote.quoted_at, quote.quote_id)) for quotes in by_lift.values()]
    return frozenset(quote.quote_id for quotes in ordered for quote in quotes[:-1])


def _stands(quote: Quote, facts: Facts) -> bool:
    """Tell whether the seller still stands to a quote: its lift was not declined since."""
    lift = facts.lifts.get(quote.lift_id or "")
    return lift is None or not lift.declined


def _order(at: datetime | None, avinode_id: str) -> tuple[datetime, int, str]:
    """Order by time; Avinode numbers its things upwards, which tells two of one moment apart."""
    number = avinode_id.split("-")[1] if avinode_id.count("-") else ""
    return at or LONG_AGO, int(number) if number.isdecimal() else 0, avinode_id
