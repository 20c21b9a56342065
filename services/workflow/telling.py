"""Tell the chat of a quote that arrived, and of a proposal that was sent: what the workflow itself publishes."""

from datetime import datetime
from uuid import UUID

from services.workflow.store.quotes import QuoteStore, UntoldQuote
from services.workflow.store.sends import SendStore, UntoldProposal
from shared.events import Json, MessagePosted
from shared.flat_text import flat
from shared.ids import NAMESPACE, derived_id, scoped
from shared.publisher import Publisher

LONGEST_NAME = 100  # characters, of an operator or an aircraft


class Teller:
    """Publishes first and notes it afterwards: what is published twice has the same ids, and is one message."""

    def __init__(self, quotes: QuoteStore, sends: SendStore, publisher: Publisher) -> None:
        self._quotes = quotes
        self._sends = sends
        self._publisher = publisher

    async def work_quote(self) -> bool:
        """Tell every open session of the quote that has waited longest; tell whether there was one."""
        quote = await self._quotes.next_untold()
        if quote is None:
            return False
        for user_id, session_id, tied_at in quote.sessions:
            await self._publisher.publish(message_about(quote, user_id, session_id, tied_at))
        await self._quotes.told(quote)
        return True

    async def work_proposal(self) -> bool:
        """Tell every session about its trip of the proposal that was sent first; tell whether there was one."""
        proposal = await self._sends.next_untold()
        if proposal is None:
            return False
        for user_id, session_id, tied_at in proposal.sessions:
            await self._publisher.publish(message_about_proposal(proposal, user_id, session_id, tied_at))
        await self._sends.told(proposal)
        return True


def message_about(quote: UntoldQuote, user_id: str, session_id: str, tied_at: datetime) -> MessagePosted:
    """Make the system's message about one revision of a quote; the same again for the same revision."""
    message_id = derived_id(NAMESPACE, f"quote/{scoped(user_id, session_id)}/{quote.quote_id}/{quote.revision}")
    metadata = {"kind": "quote", "trip_id": str(quote.trip_id), "quote_id": quote.quote_id}
    return _message(message_id, (user_id, session_id, tied_at), sentence_about(quote), quote.seen_at, metadata)


def message_about_proposal(proposal: UntoldProposal, user_id: str, session_id: str, tied_at: datetime) -> MessagePosted:
    """Make the system's message about a proposal that was sent; it is sent once."""
    message_id = derived_id(NAMESPACE, f"proposal/{scoped(user_id, session_id)}/{proposal.proposal_id}")
    metadata = {"kind": "proposal", "trip_id": str(proposal.trip_id), "proposal_id": str(proposal.proposal_id)}
    session = user_id, session_id, tied_at
    return _message(message_id, session, sentence_about_proposal(proposal), proposal.sent_at, metadata)


def _message(
    message_id: UUID, session: tuple[str, str, datetime], text: str, at: datetime, metadata: Json
) -> MessagePosted:
    """Make a message of the system.

    It follows from the order that tied the session to the trip, so it is as old as that where users are erased; and it
    has no place in the chat before it.
    """
    user_id, session_id, tied_at = session
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
    """Say it in one sentence: `Simulated Operator A quoted 33,500 USD for the Simulated Midsize (SIM-001).`

    Names are the operator's own words, so each is kept to a part of the line.
    """
    operator = flat(quote.operator_name or "", LONGEST_NAME) or "An operator"
    price = _price(quote)
    if quote.is_revised:
        said = "revised its quote" + (f" to {price}" if price else "")
    else:
        said = f"quoted {price}" if price else "sent a quote without a price"
    kind, tail = flat(quote.aircraft_type or "", LONGEST_NAME), flat(quote.aircraft_tail or "", LONGEST_NAME)
    aircraft = f" for the {kind}{f' ({tail})' if tail else ''}" if kind else ""
    return f"{operator} {said}{aircraft}."


def sentence_about_proposal(proposal: UntoldProposal) -> str:
    """Say it in one sentence: `The proposal was sent: 2 options, from 36,012.50 USD.`

    To whom it was sent is not said: other people's chats may be about the same trip.
    """
    options = proposal.content.options
    price = money(min(option.client_price_cents for option in options), proposal.content.currency)
    how = "was sent by hand" if proposal.is_by_hand else "was sent"
    return f"The proposal {how}: {f'{len(options)} options, from' if len(options) > 1 else 'one option, for'} {price}."


def _price(quote: UntoldQuote) -> str | None:
    return None if quote.price_cents is None else money(quote.price_cents, quote.currency or "")


def money(cents: int, currency: str) -> str:
    """Spell an amount: `33,500 USD`, `36,012.50 USD`."""
    whole, rest = divmod(cents, 100)
    return f"{whole:,}{f'.{rest:02}' if rest else ''} {currency}"
