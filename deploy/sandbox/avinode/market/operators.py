"""The simulated operators and their aircraft: no real company, no real tail."""

from dataclasses import dataclass

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_OPERATORS = 26


@dataclass(frozen=True, slots=True)
class Aircraft:
    """An aircraft an operator offers; the price is Avinode's own estimate for it, in USD."""

    type: str
    category: str
    tail: str
    max_pax: int
    estimate: int


@dataclass(frozen=True, slots=True)
class Operator:
    """A seller company."""

    number: int

    @property
    def id(self) -> str:
        """Return the company's id."""
        return f"acompany-{900_002 + self.number}"

    @property
    def name(self) -> str:
        """Return a name that says it is simulated."""
        return f"Simulated Operator {_LETTERS[self.number]}"

    def aircraft(self, index: int) -> Aircraft:
        """Return the operator's aircraft; it has as many as are asked for."""
        kind, category, max_pax, price = _FLEET[(self.number + index) % len(_FLEET)]
        tail = f"SIM-{_LETTERS[self.number]}{index + 1:02d}"
        return Aircraft(kind, category, tail, max_pax, price + 500 * self.number)


_FLEET = (
    ("Simulated Midsize", "Midsize jet", 8, 31_000),
    ("Simulated Light", "Light jet", 6, 21_000),
    ("Simulated Heavy", "Heavy jet", 12, 52_000),
)

OPERATORS = tuple(Operator(number) for number in range(MAX_OPERATORS))
