"""Say in a line each what a trip's rows hold."""

from collections.abc import Iterator
from typing import Any

Trip = dict[str, Any]


def trip_line(trip: Trip) -> str:
    """Say where a trip stands: `SPFVK8  requesting_quotes  (contacted 3, expected 3, received 0)`."""
    contacted, expected = trip["operators_contacted_count"], trip["quotes_expected_count"]
    counts = f"contacted {contacted}, expected {expected}, received {trip['quotes_received_count']}"
    return f"{trip['trip_code']}  {trip['current_step']}  ({counts})"


def rows_below(trip: Trip) -> Iterator[tuple[str, str]]:
    """Yield the table and the line of each RFQ and quote of a trip; a line changes when its row does."""
    for rfq in trip["rfqs"]:
        answer = f"declined: {rfq['decline_reason']}" if rfq["declined"] else "asked"
        yield "workflow.rfqs", f"{rfq['id']}  {rfq['operator_name']}  {answer}"
    for quote in trip["quotes"]:
        whose = "Avinode's estimate" if quote["estimate"] else "the operator's own"
        price = f"{quote['price_cents'] / 100:,.0f} {quote['currency']}"
        yield "workflow.quotes", f"{quote['id']}  {price}  {whose}{'' if quote['current'] else ', replaced'}"
