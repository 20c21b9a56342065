"""Tell the chat of a quote that arrived: the one fact that the workflow itself publishes."""

from datetime import datetime

from services.workflow.store.quotes import QuoteStore, UntoldQuote
from shared.events import MessagePosted
from shared.flat_text import flat
from shared.ids import NAMESPACE, derived_id, scoped
from shared.publisher import Publisher

LONGEST_NAME = 100  # characters, of an operator or an aircraft


class Teller:
    """Publishes first and notes it afterwards: what is published twice has the same ids, and is one message."""

    def __init__(self, quotes: QuoteStore, publisher: Publisher) -> None:
        self._quotes = quotes
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


def message_about(quote: UntoldQuote, user_id: str, session_id: str, tied_at: datetime) -> MessagePosted:
    """Make the system's message about one revision of a quote; the same again for the same revision.

    It follows from the order that tied the session to the trip, so it is as old as that where users are erased; and it
    has no place in the chat before it.
    """
    message_id = derived_id(NAMESPACE, f"quote/{scoped(user_id, session_id)}/{quote.quote_id}/{quote.revision}")
    text = sentence_about(quote)
    return MessagePosted(
        event_id=derived_id(message_id, MessagePosted.__name__),
        correlation_id=message_id,
        user_id=user_id,
        session_id=session_id,
        message_id=str(message_id),
        role="system",
        content=text,
        parts=({"type": "text", "text": text},),
        created_at=max(quote.seen_at, tied_at),
        accepted_at=tied_at,
        metadata={"kind": "quote", "trip_id": str(quote.trip_id), "quote_id": quote.quote_id},
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


def _price(quote: UntoldQuote) -> str | None:
    if quote.price_cents is None:
        return None
    whole, cents = divmod(quote.price_cents, 100)
    return f"{whole:,}{f'.{cents:02}' if cents else ''} {quote.currency}"
