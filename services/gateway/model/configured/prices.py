"""What a model's tokens cost, by the million as services publish it; exactly. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from services.gateway.model.chunks import Usage

MILLION = Decimal(1_000_000)


class Cost(NamedTuple):
    amount: Decimal
    currency: str  # ISO 4217


@dataclass(frozen=True)
class Prices:
    """Of a million tokens."""

    input: Decimal
    output: Decimal
    currency: str

    def cost_of(self, usage: Usage) -> Cost:
        """Return what a call has cost, by what its service has counted."""
        tokens = (usage.prompt_tokens or 0) * self.input + (usage.completion_tokens or 0) * self.output
        return Cost(tokens / MILLION, self.currency)
