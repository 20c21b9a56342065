"""Prices of a proposal are exact, rounded once, and in one currency that somebody has named."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.proposals.content import (
    MOST_CENTS,
    ChosenQuote,
    Unpriceable,
    client_price_cents,
    currency_of,
    options_of,
)

PRICES = st.integers(1, MOST_CENTS)
RATES = st.decimals("0.000000001", 999_999, places=9, allow_nan=False)
MARGINS = st.decimals(0, "999.999", places=3)


def quote(currency: str = "USD", cents: int = 3_350_000, name: str = "aquote-1") -> ChosenQuote:
    return ChosenQuote(name, 1, "Operator", "Midsize", None, cents, currency)


@given(price=PRICES, rate=RATES, margin=MARGINS)
def test_a_price_is_rounded_once_to_the_nearest_cent_and_half_a_cent_up(
    price: int, rate: Decimal, margin: Decimal
) -> None:
    exact = Fraction(price) * Fraction(rate) * (100 + Fraction(margin)) / 100
    cents = client_price_cents(price, rate, margin)
    assert -Fraction(1, 2) <= exact - cents < Fraction(1, 2)


@pytest.mark.parametrize(
    ("price", "rate", "margin", "cents"),
    [
        (3_350_000, "1", "7.5", 3_601_250),
        (3_350_000, "1", "0", 3_350_000),
        (1, "1", "50", 2),  # half a cent
        (1, "1", "49.999", 1),
        (1005, "0.1", "0", 101),  # 100.5, which a float of 1.005 would not reach
        (3_350_000, "1.0834", "7.5", 3_901_594),  # 3,901,594.25
    ],
)
def test_prices_by_hand(price: int, rate: str, margin: str, cents: int) -> None:
    assert client_price_cents(price, Decimal(rate), Decimal(margin)) == cents


def test_one_currency_needs_no_word() -> None:
    assert currency_of([quote(), quote(name="aquote-2")], None, {}) == "USD"


@pytest.mark.parametrize(
    ("wanted", "rates", "field"),
    [
        (None, {}, "currency"),
        (None, {"EUR": "1.1"}, "currency"),
        ("USD", {}, "rates"),
        ("USD", {"USD": "1", "EUR": "1.1"}, "rates"),
        ("GBP", {"EUR": "0.9"}, "rates"),
    ],
)
def test_a_rate_is_never_guessed(wanted: str | None, rates: dict[str, str], field: str) -> None:
    with pytest.raises(Unpriceable) as refused:
        currency_of([quote("USD"), quote("EUR")], wanted, {each: Decimal(rate) for each, rate in rates.items()})
    assert refused.value.field == field


def test_each_option_has_its_own_price_and_the_clients() -> None:
    quotes, rates = [quote("USD"), quote("EUR", 3_000_000, "aquote-2")], {"EUR": Decimal("1.1")}
    assert currency_of(quotes, "USD", rates) == "USD"
    options = options_of(quotes, "USD", Decimal(10), rates)
    assert [(each.currency, each.price_cents, each.rate, each.client_price_cents) for each in options] == [
        ("USD", 3_350_000, Decimal(1), 3_685_000),
        ("EUR", 3_000_000, Decimal("1.1"), 3_630_000),
    ]


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(Unpriceable, match="more than can be counted"):
        options_of([quote(cents=MOST_CENTS)], "USD", Decimal("0.001"), {})
