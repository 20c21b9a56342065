"""What models, or experiments, come to beside one another."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, Field

from services.gateway.analytics.comparing.intervals import Difference, Rate

Arms = Literal["model", "experiment"]
# What is compared between pairs: by its name here, of which a user has a mean of their sessions' means in each arm.
MEASURES = (
    "turns",
    "error_rate",
    "ttft_ms",
    "duration_ms",
    "output_tokens",
    "thumbs_up_rate",
    "regenerate_rate",
)
LEAST_SESSIONS = 5  # that a user has in each arm, to be one of a pair


class Percentiles(BaseModel):
    """In milliseconds, of all calls that know it; None where there are none."""

    p50: float | None
    p95: float | None
    n: int


class Tokens(BaseModel):
    input: int
    output: int
    total: int
    estimated_calls: int  # of which the model's service did not report them


class Thumbs(BaseModel):
    up: int
    down: int
    up_rate: Rate  # of those that were given


class Arm(BaseModel):
    """What calls of one model, or of one experiment, came to in the range.

    A turn is one answer, of one call or, with tools, several. Intervals of turns' rates count sessions (intervals.py).
    """

    name: str
    provider: str | None  # of a model's arm
    users: int
    sessions: int
    turns: int
    calls: int
    errors: int  # turns whose answer failed
    interrupted: int  # turns whose answer broke off
    stopped: int  # turns that their user stopped: no errors
    error_rate: Rate  # of turns: errors and interrupted
    failed_sessions: Rate  # sessions with such a turn
    regenerate_rate: Rate  # of turns: those for whose question another answer was asked for in the range
    thumbs: Thumbs
    disliked_sessions: Rate  # sessions with a thumb down
    ttft_ms: Percentiles
    duration_ms: Percentiles
    tokens: Tokens
    cost: dict[str, Decimal]  # by currency, of the calls that have one


class Comparison(BaseModel):
    """Arms of the sessions that had one model only, by name, and of the others apart."""

    since: datetime = Field(alias="from")
    to: datetime
    by: Arms
    models: list[Arm]
    mixed: list[Arm]


class PairedComparison(BaseModel):
    """The second arm less the first, of users with at least `LEAST_SESSIONS` sessions of one model only in each."""

    since: datetime = Field(alias="from")
    to: datetime
    by: Arms
    models: tuple[str, str]
    users: int
    differences: dict[str, Difference]
