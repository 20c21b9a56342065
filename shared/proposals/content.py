"""What a proposal says: options at the client's price, each from a quote as it stood when it was chosen."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_OPTIONS = 50
MOST_CENTS = 2**63 - 1  # a bigint of PostgreSQL
DIGITS = 80  # more than the product of a price, a rate and a margin has: nothing is rounded before the end

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]  # ISO 4217
Percent = Annotated[Decimal, Field(ge=0, max_digits=6, decimal_places=3)]
Rate = Annotated[Decimal, Field(gt=0, max_digits=23, decimal_places=17)]


@dataclass(frozen=True)
class ChosenQuote:
    """A seller's own quote with a price."""

    quote_id: str
    revision: int
    operator_name: str | None
    aircraft_type: str | None
    aircraft_tail: str | None
    price_cents: int
    currency: str


class Leg(BaseModel):
    """One flight; date and time are local at the departure airport."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    origin: str | None = None
    destination: str | None = None
    date: str | None = None
    time: str | None = None


class Option(BaseModel):
    """One quote, and what the client is asked for it; a client sees neither the quote's own price nor the rate."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quote_id: str
    revision: int = 1  # of the quote: it grows with its price
    operator_name: str | None = None
    aircraft_type: str | None = None
    aircraft_tail: str | None = None
    price_cents: int = Field(gt=0, le=MOST_CENTS)  # the operator's, in hundredths of `currency`
    currency: Currency
    rate: Rate = Decimal(1)  # what one of `currency` is in the proposal's
    client_price_cents: int = Field(ge=0, le=MOST_CENTS)  # in hundredths of the proposal's currency


class Content(BaseModel):
    """All that a proposal says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    currency: Currency
    margin_percent: Percent = Decimal(0)
    note: str | None = None
    options: tuple[Option, ...] = Field(min_length=1, max_length=MOST_OPTIONS)
    legs: tuple[Leg, ...] = ()
    pax: int | None = None


class Unpriceable(ValueError):
    """These quotes make no prices in one currency; the text says why, `field` which part of the order is to blame."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def currency_of(quotes: Iterable[ChosenQuote], wanted: str | None, rates: Mapping[str, Decimal]) -> str:
    """Return the one currency of a proposal.

    Raises:
        Unpriceable: The quotes are of several, and nobody says which is meant, or what another one is worth.
    """
    theirs = list(dict.fromkeys(quote.currency for quote in quotes))
    if wanted is None and len(theirs) > 1:
        raise Unpriceable("currency", f"must be given, with `rates` of the others: the quotes are in {_listed(theirs)}")
    currency = wanted or theirs[0]
    if currency in rates:
        raise Unpriceable("rates", f"must not name {currency}, which is the proposal's own currency")
    if missing := [each for each in theirs if each != currency and each not in rates]:
        raise Unpriceable("rates", f"must say how many {currency} one of each of these is: {_listed(missing)}")
    return currency


def options_of(
    quotes: Iterable[ChosenQuote], currency: str, margin_percent: Decimal, rates: Mapping[str, Decimal]
) -> tuple[Option, ...]:
    """Price each quote for the client.

    Raises:
        Unpriceable: A price is beyond everything.
    """
    options = []
    for quote in quotes:
        rate = Decimal(1) if quote.currency == currency else rates[quote.currency]
        cents = client_price_cents(quote.price_cents, rate, margin_percent)
        if cents > MOST_CENTS:
            raise Unpriceable("quote_ids", f"{quote.quote_id} would cost more than can be counted")
        options.append(
            Option(
                quote_id=quote.quote_id,
                revision=quote.revision,
                operator_name=quote.operator_name,
                aircraft_type=quote.aircraft_type,
                aircraft_tail=quote.aircraft_tail,
                price_cents=quote.price_cents,
                currency=quote.currency,
                rate=rate,
                client_price_cents=cents,
            )
        )
    return tuple(options)


def client_price_cents(price_cents: int, rate: Decimal, margin_percent: Decimal) -> int:
    """Convert a price and add the margin, exactly; the end is rounded once, to whole cents, half a cent up."""
    with localcontext(prec=DIGITS):
        exact = price_cents * rate * (100 + margin_percent) / 100
        return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _listed(currencies: Iterable[str]) -> str:
    return ", ".join(sorted(currencies))
