"""What a proposal says to its client, in words, whatever it is written as; nothing here says what the operators ask."""

from dataclasses import dataclass

from shared.proposals.content import Content, Leg, Option
from shared.texts.flat_text import flat

TITLE = "Charter proposal"
LONGEST_NAME = 200  # characters, of an operator or an aircraft


@dataclass(frozen=True)
class Offer:
    aircraft: str
    operator: str
    price: str


@dataclass(frozen=True)
class Wording:
    """Texts of third parties are each on one line, the note in paragraphs; nothing is escaped yet."""

    title: str
    journey: list[str]
    note: list[str]
    offers: list[Offer]


def worded(content: Content) -> Wording:
    """Put a proposal into words."""
    passengers = [f"{content.pax} passenger{'s' if content.pax != 1 else ''}"] if content.pax else []
    return Wording(
        title=TITLE,
        journey=[*map(_journey, content.legs), *passengers],
        note=paragraphs(content.note),
        offers=[_offer(option, content.currency) for option in content.options],
    )


def paragraphs(text: str | None) -> list[str]:
    """Take a text apart by its lines, each without what steers a screen."""
    return [flat(line, len(line)) for line in (text or "").splitlines() if line.strip()]


def _journey(leg: Leg) -> str:
    when = ", ".join(filter(None, (leg.date, leg.time)))
    route = f"{leg.origin or '?'} to {leg.destination or '?'}"
    return flat(f"{route}, {when}" if when else route, LONGEST_NAME)


def _offer(option: Option, currency: str) -> Offer:
    return Offer(
        aircraft=flat(option.aircraft_type or "", LONGEST_NAME) or "Aircraft to be named",
        operator=flat(option.operator_name or "", LONGEST_NAME) or "Operator to be named",
        price=money(option.client_price_cents, currency),
    )


def money(cents: int, currency: str) -> str:
    """Spell an amount: `33 500 EUR`, `36 012.50 USD`; its spaces keep it on one line."""
    whole, rest = divmod(cents, 100)
    return f"{whole:,}{f'.{rest:02}' if rest else ''} {currency}".replace(",", "\u00a0").replace(" ", "\u00a0")
