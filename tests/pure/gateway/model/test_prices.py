"""What a call costs, to the last digit."""

from decimal import Decimal

import pytest

from services.gateway.model.chunks import Usage
from services.gateway.model.configured.prices import Prices
from services.gateway.model.measuring.meter import Meter

PRICES = Prices(Decimal("0.15"), Decimal("0.6"), "USD")


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1_000_000, 1_000_000), "0.75"),
        (Usage(1, 1), "0.00000075"),
        (Usage(None, 3), "0.0000018"),
        (Usage(2**31 - 1, 0), "322.12254705"),
    ],
)
def test_it_is_exact(usage: Usage, cost: str) -> None:
    assert PRICES.cost_of(usage) == (Decimal(cost), "USD")


@pytest.mark.parametrize(("usage", "cost"), [(Usage(10, 10), ("0.0000075", "USD")), (None, (None, None))])
def test_a_trace_has_the_cost_of_what_the_service_has_counted(usage: Usage | None, cost: tuple[str, str]) -> None:
    meter = Meter()
    meter.usage_came(usage)
    trace = meter.trace(
        trace_id="t",
        model="m",
        provider="p",
        upstream="u",
        status="complete",
        finish_reason="stop",
        error=None,
        prices=PRICES,
        asked=100,
        said=100,
    )
    assert (trace["cost"], trace["currency"]) == cost
    assert trace["error_class"] is None
