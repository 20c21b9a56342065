"""What is known of a trip at Avinode, and how what a fetch found joins it. Pure.

Fetches repeat, overlap and come late, so joining asks what is newer, never what came last. `fetched_at` (when the
fetch began) decides between two readings of one thing and is no part of what the thing says: it is not compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Literal, TypeVar

LONG_AGO = datetime.min.replace(tzinfo=UTC)
DECLINED_STATUS = 3  # a lift's `sourcingStatus`

MessageKind = Literal["quote", "decline", "chat"]


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    fetched_at: datetime = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class Rfq(_Fetched):
    """One request to one operator."""

    rfq_id: str
    operator_id: str | None = None
    operator_name: str | None = None
    canceled: bool = False


@dataclass(frozen=True, kw_only=True)
class Lift(_Fetched):
    """One aircraft of an RFQ, and what its operator said to it."""

    lift_id: str
    rfq_id: str
    aircraft_type: str | None = None
    aircraft_category: str | None = None
    aircraft_tail: str | None = None
    sourcing_status: int | None = None
    sourcing_display_status: str | None = None

    @property
    def declined(self) -> bool:
        return self.sourcing_status == DECLINED_STATUS or (self.sourcing_display_status or "").lower() == "declined"


@dataclass(frozen=True, kw_only=True)
class Quote(_Fetched):
    """A price: the seller's own, or Avinode's estimate, which says nothing about the seller."""

    quote_id: str
    rfq_id: str
    lift_id: str | None = None
    estimate: bool
    price_cents: int | None = None
    currency: str | None = None
    message: str | None = None
    quoted_at: datetime | None = None
    revision: int = 1  # grows when the price of this very quote changes

    @property
    def version(self) -> tuple[datetime, datetime]:
        return self.quoted_at or LONG_AGO, self.fetched_at


@dataclass(frozen=True, kw_only=True)
class Message(_Fetched):
    """Something said on an RFQ. Avinode never changes a message."""

    avinode_message_id: str
    rfq_id: str | None = None
    kind: MessageKind
    sender: str | None = None
    content: str | None = None
    reason: str | None = None  # of a decline
    quote_id: str | None = None
    lift_ids: tuple[str, ...] = ()  # the lifts it speaks of; none: the whole RFQ
    sent_at: datetime | None = None


@dataclass(frozen=True)
class Found:
    """What one or several fetches found of a trip."""

    rfqs: tuple[Rfq, ...] = ()
    lifts: tuple[Lift, ...] = ()
    quotes: tuple[Quote, ...] = ()
    messages: tuple[Message, ...] = ()

    def __add__(self, other: "Found") -> "Found":
        return Found(
            self.rfqs + other.rfqs,
            self.lifts + other.lifts,
            self.quotes + other.quotes,
            self.messages + other.messages,
        )


@dataclass(frozen=True)
class Facts:
    """All that is known of a trip; a fact joins these and never leaves them."""

    at_avinode: bool = False  # the trip itself was read there
    proposal_prepared: bool = False
    rfqs: Mapping[str, Rfq] = field(default_factory=dict)
    lifts: Mapping[str, Lift] = field(default_factory=dict)
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    messages: Mapping[str, Message] = field(default_factory=dict)


def join(known: Facts, found: Found) -> Facts:
    """Add what was found. A lift or quote whose RFQ is not known is left out: whoever reads the RFQ finds it again."""
    rfqs = _joined(known.rfqs, ((rfq.rfq_id, rfq) for rfq in found.rfqs))
    quotes = dict(known.quotes)
    for quote in found.quotes:
        if quote.rfq_id in rfqs:
            quotes[quote.quote_id] = _joined_quote(quotes.get(quote.quote_id), quote)
    return replace(
        known,
        rfqs=rfqs,
        lifts=_joined(known.lifts, ((lift.lift_id, lift) for lift in found.lifts if lift.rfq_id in rfqs)),
        quotes=quotes,
        messages=_joined(known.messages, ((message.avinode_message_id, message) for message in found.messages)),
    )


T = TypeVar("T", bound=_Fetched)


def _joined(known: Mapping[str, T], found: Iterable[tuple[str, T]]) -> dict[str, T]:
    joined = dict(known)
    for key, new in found:
        old = joined.get(key)
        if old is None:
            joined[key] = new
        elif new.fetched_at >= old.fetched_at:
            joined[key] = _filled(new, old)
    return joined


def _joined_quote(old: Quote | None, new: Quote) -> Quote:
    """Join two readings of one quote: the later word on its price stands, and a seller's own stays the seller's own.

    A message shows its quote as it was, so the time of the word goes before the time of the fetch.
    """
    if old is None:
        return new
    late, early = (new, old) if new.version >= old.version else (old, new)
    joined = replace(_filled(late, early), estimate=old.estimate and new.estimate)
    is_revised = (joined.price_cents, joined.currency) != (old.price_cents, old.currency)
    return replace(joined, revision=old.revision + is_revised)


def _filled(new: T, old: T) -> T:
    """Keep what the newer reading does not show: Avinode leaves fields out."""
    unseen = {item.name: getattr(old, item.name) for item in fields(new) if getattr(new, item.name) is None}
    return replace(new, **unseen)
