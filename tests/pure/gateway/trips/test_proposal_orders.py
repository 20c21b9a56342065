"""What may be said of a proposal, and what could be another header, or a guess, and is refused."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.trips.proposals.orders import NewProposal, ProposalPatch, SendProposal, content_of
from shared.errors import Invalid
from shared.proposals.content import ChosenQuote

QUOTES = {
    name: ChosenQuote(name, 1, "Operator", "Midsize", None, cents, currency)
    for name, cents, currency in (("usd", 3_350_000, "USD"), ("eur", 3_000_000, "EUR"))
}


def order(**said: Any) -> NewProposal:
    return NewProposal.model_validate({"quote_ids": ["usd"], **said})


@pytest.mark.parametrize(
    "body",
    [
        {"quote_ids": []},
        {"quote_ids": ["q"] * 51},
        {"quote_ids": "usd"},
        {"currency": "usd"},
        {"currency": "US$"},
        {"rates": {"EUR": "0"}},
        {"rates": {"EUR": "0.0"}},
        {"rates": {"EUR": "-1"}},
        {"rates": {"EUR": 1.1}},
        {"rates": {"EUR": "1.1\n"}},
        {"rates": {"eur": "1"}},
        {"rates": {"EUR": "1e3"}},
        {"rates": {"EUR": "1234567"}},
        {"margin_percent": -1},
        {"margin_percent": 1000},
        {"margin_percent": "7.5"},
        {"margin_percent": True},
        {"margin_percent": float("inf")},
        {"margin_percent": float("nan")},
        {"margin_percent": None},
        {"note": "a\x00b"},
        {"note": "x" * 10_001},
        {"price": 1},
    ],
)
def test_what_makes_no_proposal_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        order(**body)


@pytest.mark.parametrize(
    ("number", "margin"),
    [
        (7.5, "7.5"),
        (12.345, "12.345"),
        (0.001, "0.001"),
        (999.999, "999.999"),
        (0, "0"),
        (1.0005, "1.001"),
        (1e-9, "0"),
    ],
)
def test_a_margin_is_the_decimal_that_was_written(number: float, margin: str) -> None:
    assert order(margin_percent=number).margin_percent == Decimal(margin)


def test_a_quote_is_an_option_once() -> None:
    assert order(quote_ids=["b", "a", "b"]).quote_ids == ["b", "a"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"quote_ids": ["usd", "unknown"]}, "quote_ids"),
        ({"quote_ids": ["usd", "eur"]}, "currency"),
        ({"quote_ids": ["usd", "eur"], "currency": "USD"}, "rates"),
        ({"quote_ids": ["eur"], "currency": "USD", "rates": {"GBP": "1.2"}}, "rates"),
        ({"currency": "USD", "rates": {"USD": "1.2"}}, "rates"),
    ],
)
def test_what_has_no_price_in_one_currency_is_refused(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        content_of(order(**said), QUOTES, [], 4)
    assert [each["field"] for each in refused.value.extra["errors"]] == [field]


def test_a_patch_keeps_what_it_does_not_name() -> None:
    said = {
        "quote_ids": ["usd", "eur"],
        "currency": "USD",
        "rates": {"EUR": "1.1"},
        "margin_percent": 5,
        "note": "hello",
    }
    content = content_of(order(**said), QUOTES, [], 4)
    assert ProposalPatch.model_validate({"note": "other"}).over(content) == order(**{**said, "note": "other"})
    assert ProposalPatch.model_validate({"note": None}).over(content) == order(**{**said, "note": None})
    assert ProposalPatch.model_validate({"rates": {"EUR": "1.2"}}).over(content).rates == {"EUR": Decimal("1.2")}
    assert ProposalPatch.model_validate({"currency": "EUR"}).over(content).rates == {}, "those were into dollars"


@pytest.mark.parametrize(
    "body",
    [
        {"to": "a@b.test\r\nBcc: x@y.test"},
        {"to": "a@b.test\nBcc: x@y.test"},
        {"to": "a@b.test\n"},
        {"to": "a@b.test, c@d.test"},
        {"to": "Name <a@b.test>"},
        {"to": "no address"},
        {"to": ""},
        {"to": "@b.test"},
        {"to": "a@"},
        {"to": "ä@b.test"},
        {"to": f"{'a' * 65}@b.test"},
        {"to": ["a@b.test", "broken"]},
        {"to": [f"a{number}@b.test" for number in range(21)]},
        {"to": 5},
        {"subject": "Offer\r\nBcc: x@y.test"},
        {"subject": "Offer\n"},
        {"subject": "a\x00b"},
        {"subject": "a\u2028b"},
        {"subject": "a\x85b"},
        {"subject": ""},
        {"subject": "x" * 201},
        {"message": "a\x00b"},
        {"message": "x" * 10_001},
        {"cc": "a@b.test"},
    ],
)
def test_what_could_be_another_header_or_is_no_address_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SendProposal.model_validate(body)


def test_who_is_named_twice_is_one_recipient() -> None:
    assert SendProposal.model_validate({"to": "a.b+c@x-y.test"}).recipients == ("a.b+c@x-y.test",)
    assert SendProposal.model_validate({"to": ["a@b.test", "c@b.test", "a@b.test"]}).recipients == (
        "a@b.test",
        "c@b.test",
    )
    assert SendProposal.model_validate({"subject": "Łódź, Zürich"}).recipients == ()
