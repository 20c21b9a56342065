"""Put into words what the chat is told: messages of the system, the same again for the same thing. Pure.

Names and reasons are the operators' own words, so each is kept to a part of the line.
"""

import re
from datetime import datetime
from uuid import UUID

from services.workflow.store.telling.notes import UntoldNote
from services.workflow.store.telling.quotes import UntoldQuote
from services.workflow.store.telling.sent_proposals import UntoldProposal
from services.workflow.store.telling.untold import Session
from shared.events import Json, MessagePosted
from shared.ids import NAMESPACE, derived_id, scoped
from shared.proposals.content import Content
from shared.texts.flat_text import flat

LONGEST_NAME = 100  # characters, of an operator or an aircraft
LONGEST_REASON = 200
_CODE = re.compile(r"[A-Z]+(_[A-Z]+)*")  # Avinode's own reasons
WHY_CANCELLED = {"BY_CLIENT": "by the client", "CHANGED": "plans have changed", "BOOKED": "it was booked"}


def message_about(quote: UntoldQuote, session: Session, at: datetime) -> MessagePosted:
    """Make the system's message about one revision of a quote."""
    subject = f"quote/{{}}/{quote.quote_id}/{quote.revision}"
    metadata = {"kind": "quote", "trip_id": str(quote.trip_id), "quote_id": quote.quote_id}
    return _message(subject, session, sentence_about(quote), at, metadata)


def message_about_proposal(proposal: UntoldProposal, session: Session, at: datetime) -> MessagePosted:
    """Make the system's message about a proposal that was sent; it is sent once.

    Raises:
        ValueError: What was stored is no proposal.
    """
    metadata = {"kind": "proposal", "trip_id": str(proposal.trip_id), "proposal_id": str(proposal.proposal_id)}
    text = sentence_about_proposal(Content.model_validate(proposal.content), is_by_hand=proposal.is_by_hand)
    return _message(f"proposal/{{}}/{proposal.proposal_id}", session, text, at, metadata)


def message_of(note: UntoldNote, session: Session, at: datetime) -> MessagePosted:
    """Make the system's message of a note."""
    text = sentence_about_decline(note.says) if note.kind == "decline" else sentence_about_cancellation(note.says)
    metadata = {"kind": note.kind, "trip_id": str(note.trip_id)}
    return _message(f"note/{{}}/{note.note_id}", session, text, at, metadata)


def _message(subject: str, session: Session, text: str, at: datetime, metadata: Json) -> MessagePosted:
    """Make a message of the system.

    It follows from the order that tied the session to the trip, so it is as old as that where users are erased; and it
    has no place in the chat before it.
    """
    user_id, session_id, tied_at = session
    message_id: UUID = derived_id(NAMESPACE, subject.format(scoped(user_id, session_id)))
    return MessagePosted(
        event_id=derived_id(message_id, MessagePosted.__name__),
        correlation_id=message_id,
        user_id=user_id,
        session_id=session_id,
        message_id=str(message_id),
        role="system",
        content=text,
        parts=({"type": "text", "text": text},),
        created_at=max(at, tied_at),
        accepted_at=tied_at,
        metadata=metadata,
    )


def sentence_about(quote: UntoldQuote) -> str:
    """Say it in one sentence: `Simulated Operator A quoted 33,500 USD for the Simulated Midsize (SIM-001).`"""
    price = _price(quote)
    if quote.is_revised:
        said = "revised its quote" + (f" to {price}" if price else "")
    else:
        said = f"quoted {price}" if price else "sent a quote without a price"
    kind, tail = flat(quote.aircraft_type or "", LONGEST_NAME), flat(quote.aircraft_tail or "", LONGEST_NAME)
    aircraft = f" for the {kind}{f' ({tail})' if tail else ''}" if kind else ""
    return f"{_operator(quote.operator_name)} {said}{aircraft}."


def sentence_about_proposal(content: Content, *, is_by_hand: bool) -> str:
    """Say it in one sentence: `The proposal was sent: 2 options, from 36,012.50 USD.`

    To whom it was sent is not said: other people's chats may be about the same trip.
    """
    options = content.options
    price = money(min(option.client_price_cents for option in options), content.currency)
    how = "was sent by hand" if is_by_hand else "was sent"
    return f"The proposal {how}: {f'{len(options)} options, from' if len(options) > 1 else 'one option, for'} {price}."


def sentence_about_decline(says: Json) -> str:
    """Say it: `Simulated Operator B declined (crew not available). No operator is left who might quote.`"""
    reason = flat(str(says.get("reason") or ""), LONGEST_REASON)
    if _CODE.fullmatch(reason):
        reason = reason.replace("_", " ").lower()
    why = f" ({reason})" if reason and reason != "unknown" else ""
    rest = "All others have answered." if says.get("expected") else "No operator is left who might quote."
    return f"{_operator(says.get('operator_name'))} declined{why}. {rest}"


def sentence_about_cancellation(says: Json) -> str:
    """Say it: `The trip was cancelled: plans have changed.`"""
    reason, error = says.get("reason"), flat(str(says.get("error") or ""), LONGEST_REASON)
    why = WHY_CANCELLED.get(str(reason))
    said = "The trip was cancelled" + (f": {why}." if why else "." if reason else " at Avinode.")
    return f"{said} {error[0].upper()}{error[1:]}." if error else said


def _operator(name: object) -> str:
    return flat(str(name or ""), LONGEST_NAME) or "An operator"


def _price(quote: UntoldQuote) -> str | None:
    return None if quote.price_cents is None else money(quote.price_cents, quote.currency or "")


def money(cents: int, currency: str) -> str:
    """Spell an amount: `33,500 USD`, `36,012.50 USD`."""
    whole, rest = divmod(cents, 100)
    return f"{whole:,}{f'.{rest:02}' if rest else ''} {currency}"
