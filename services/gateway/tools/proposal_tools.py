"""Tools about what operators quote: list it, and prepare a proposal of it."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from services.gateway.http.requests.fields import Name
from services.gateway.http.write_headers import Write
from services.gateway.tools.tool import Acting, Tool
from services.gateway.tools.trip_tools import LONGEST_WAIT_S, OfTrip, found
from services.gateway.trips.proposals.orders import HIGHEST_MARGIN, LONGEST_TEXT, NewProposal
from services.gateway.trips.proposals.proposing import Proposing
from services.gateway.trips.proposals.record import WholeProposal
from services.gateway.trips.proposals.record import shown as shown_proposal
from services.gateway.trips.records.record import Quote
from services.gateway.trips.routes import Trips
from shared.texts.flat_text import flat

MOST_QUOTES = 30  # that are told of
LONGEST_MESSAGE = 300  # characters of what an operator wrote beside a quote
OLD_PRICES = "Quotes that were replaced by a later one are left out."


class PrepareProposal(OfTrip):
    quote_ids: list[Name] = Field(
        min_length=1, max_length=20, description="Operators' own quotes, as list_quotes has them"
    )
    margin_percent: float | None = Field(
        None, ge=0, le=HIGHEST_MARGIN, description="What the client pays beyond the operators' prices; null: nothing"
    )
    note: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)] | None = Field(
        None, description="A text for the client; null: none"
    )


def proposal_tools(trips: Trips, proposing: Proposing) -> tuple[Tool[OfTrip], Tool[PrepareProposal]]:
    """Make them."""

    async def quotes(acting: Acting, given: OfTrip) -> Any:
        trip = await found(trips, acting, given.trip)
        standing = [quote for quote in trip.quotes if quote.current]
        told = {"trip_id": str(trip.id), "quotes": [_quote(quote) for quote in standing[:MOST_QUOTES]]}
        more = len(standing) - MOST_QUOTES
        return {**told, "note": OLD_PRICES, **({"left_out": more} if more > 0 else {})}

    async def prepare(acting: Acting, given: PrepareProposal) -> Any:
        trip = await found(trips, acting, given.trip)
        wait_s = min(LONGEST_WAIT_S, 0.8 * trips.settings.tool_call_s)
        write = Write(wait_s, f"tool/{acting.effect}", acting.turn.correlation_id)
        said = {"quote_ids": given.quote_ids, "margin_percent": given.margin_percent or 0, "note": given.note}
        order = NewProposal.model_validate(said)
        row, status = await proposing.prepare(acting.caller, trip, order, write)
        return {**_proposal(shown_proposal(row)), **({} if status != 202 else {"note": "It is not stored yet."})}

    return (
        Tool(
            "list_quotes",
            "List what operators have quoted for a trip. An estimate is Avinode's guess and no offer: say so of it.",
            OfTrip,
            quotes,
        ),
        Tool(
            "prepare_proposal",
            "Prepare a proposal for the client from operators' quotes of a trip. Nothing is sent to anybody by that.",
            PrepareProposal,
            prepare,
            for_visitors=False,
        ),
    )


def money(cents: int | None) -> str | None:
    """Spell an amount exactly."""
    return None if cents is None else f"{cents // 100}.{cents % 100:02}"


def _quote(quote: Quote) -> dict[str, Any]:
    return {
        "quote_id": quote.id,
        "operator": quote.operator_name,
        "aircraft": quote.aircraft_type,
        "price": money(quote.price_cents),
        "currency": quote.currency,
        "is_estimate": quote.estimate,
        "message": flat(quote.message, LONGEST_MESSAGE) if quote.message else None,
    }


def _proposal(proposal: WholeProposal) -> dict[str, Any]:
    return {
        "proposal_id": str(proposal.id),
        "trip_id": str(proposal.trip_id),
        "state": proposal.state,
        "currency": proposal.currency,
        "margin_percent": proposal.margin_percent,
        "options": [
            {
                "quote_id": option.quote_id,
                "operator": option.operator_name,
                "aircraft": option.aircraft_type,
                "operator_price": f"{money(option.price_cents)} {option.currency}",
                "client_price": f"{money(option.client_price_cents)} {proposal.currency}",
            }
            for option in proposal.options
        ],
        "to_read": f"/api/proposals/{proposal.id}?format=html",
    }
