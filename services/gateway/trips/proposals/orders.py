"""What a user may say of a proposal: which quotes, at what margin, and to whom it goes."""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from services.gateway.http.requests.fields import Name
from services.gateway.http.requests.refused_field import refused_field
from shared.proposals.content import (
    MOST_OPTIONS,
    ChosenQuote,
    Content,
    Currency,
    Leg,
    Percent,
    Rate,
    Unpriceable,
    currency_of,
    options_of,
)

LONGEST_TEXT = 10_000
MOST_RECIPIENTS = 20
HIGHEST_MARGIN = 999.999
# A text, since a number of JSON is no exact decimal.
RATE = r"^([1-9][0-9]{0,5}(\.[0-9]{1,9})?|0\.0{0,8}[1-9][0-9]{0,8})$"
# As HTML has it for `<input type=email>`: no quoted names, no comments, nothing that could end a header.
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS = rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(\.{_LABEL})*$"


def _thousandths(value: Any) -> Any:
    """Take a JSON number for the decimal that it was written as, rounded to a thousandth, half of one up."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= HIGHEST_MARGIN:
        raise ValueError(f"must be a number of 0 to {HIGHEST_MARGIN}")
    return Decimal(str(value)).quantize(Decimal("0.001"), rounding=ROUND_HALF_UP)


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _spelled_rate(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not re.fullmatch(RATE, value):
        raise ValueError('must be a decimal as a text, such as "1.0834"')
    return Decimal(value)


Margin = Annotated[
    Percent, BeforeValidator(_thousandths), WithJsonSchema({"type": "number", "minimum": 0, "maximum": HIGHEST_MARGIN})
]
GivenRate = Annotated[Rate, BeforeValidator(_spelled_rate), WithJsonSchema({"type": "string", "pattern": RATE})]
QuoteIds = Annotated[list[Name], Field(min_length=1, max_length=MOST_OPTIONS), AfterValidator(_once)]
Rates = Annotated[
    dict[Currency, GivenRate],
    Field(max_length=MOST_OPTIONS),
    WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {"^[A-Z]{3}$": {"type": "string", "pattern": RATE}},
            "additionalProperties": False,
            "maxProperties": MOST_OPTIONS,
        }
    ),
]
Note = Annotated[str, StringConstraints(max_length=LONGEST_TEXT, pattern=r"^[^\x00]*$")]
Address = Annotated[str, StringConstraints(max_length=254, pattern=ADDRESS)]
Subject = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")
]


class NewProposal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quote_ids: QuoteIds
    margin_percent: Margin = Decimal(0)
    note: Note | None = None
    currency: Currency | None = None  # none: the quotes', where they are in one
    rates: Rates = Field(default_factory=dict)  # what one of another currency is in this one


class ProposalPatch(BaseModel):
    """What is to be set; what is not there stays. The quotes are taken as they stand now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    quote_ids: QuoteIds | None = None
    margin_percent: Margin | None = None
    note: Note | None = None
    currency: Currency | None = None
    rates: Rates | None = None

    def over(self, content: Content) -> NewProposal:
        """Return the order of what a proposal says, with this changed; of another currency the rates are others."""
        known = {option.currency: option.rate for option in content.options if option.currency != content.currency}
        keeps_rates = self.currency in (None, content.currency)
        said = {
            "quote_ids": [option.quote_id for option in content.options],
            "margin_percent": content.margin_percent,
            "note": content.note,
            "currency": content.currency,
            "rates": known if keeps_rates else {},
        }
        cleared = {"note"} & self.model_fields_set  # null takes it out; of the others it says nothing
        given = {name: value for name, value in self if value is not None or name in cleared}
        return NewProposal.model_validate({**said, **given})


class SendProposal(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: Address | Annotated[list[Address], Field(max_length=MOST_RECIPIENTS)] = Field(default_factory=list)
    subject: Subject | None = None
    message: Note | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        """To whom it goes, each once; nobody: it is sent by hand."""
        return tuple(dict.fromkeys([self.to] if isinstance(self.to, str) else self.to))


def content_of(order: NewProposal, quotes: Mapping[str, ChosenQuote], legs: Sequence[Leg], pax: int | None) -> Content:
    """Make what a proposal says out of the quotes that may be chosen.

    Raises:
        Invalid: One of those that are chosen may not, or they make no prices in one currency.
    """
    if unknown := [name for name in order.quote_ids if name not in quotes]:
        listed = ", ".join(unknown)
        raise refused_field("quote_ids", f"must be operators' own quotes of this trip that stand: {listed} is none")
    chosen = [quotes[name] for name in order.quote_ids]
    try:
        currency = currency_of(chosen, order.currency, order.rates)
        options = options_of(chosen, currency, order.margin_percent, order.rates)
    except Unpriceable as error:
        raise refused_field(error.field, str(error)) from error
    return Content(
        currency=currency,
        margin_percent=order.margin_percent,
        note=order.note or None,
        options=options,
        legs=tuple(legs),
        pax=pax,
    )
