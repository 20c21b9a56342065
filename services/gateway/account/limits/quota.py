"""How much somebody may do a day, and in all. Pure."""

from dataclasses import dataclass, fields
from datetime import date, datetime

from shared.ids import user_hash
from shared.settings import Settings


@dataclass(frozen=True)
class Quota:
    """Of each kind how many there may be; none: as the settings say, and without their word as many as one likes."""

    turns_per_day: int | None = None
    tokens_per_day: int | None = None  # of questions, of what was said before, and of answers
    sessions_per_day: int | None = None  # that are begun, forks among them
    sessions_in_all: int | None = None  # that are there

    def over(self, default: "Quota") -> "Quota":
        """Return it with another one's numbers where it has none."""
        own, others = vars(self), vars(default)
        return Quota(**{name: others[name] if own[name] is None else own[name] for name in KINDS})


KINDS = tuple(each.name for each in fields(Quota))
UNLIMITED = Quota()


@dataclass(frozen=True)
class Usage:
    """What one user has done on one day."""

    day: date  # of UTC, by the database's clock
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    sessions: int = 0
    refused: int = 0  # calls past a limit of whichever kind


@dataclass(frozen=True)
class QuotaOf:
    """What an administrator has said of one user."""

    user_id: str
    quota: Quota
    set_at: datetime


def quota_of_users(settings: Settings) -> Quota:
    """Return what a user may do of whom nobody has said anything."""
    return Quota(**{name: getattr(settings, name) for name in KINDS})


def quota_of_addresses(settings: Settings) -> Quota:
    """Return what all visitors of one address may do together."""
    own, usual = Quota(settings.visitor_turns_per_day, settings.visitor_tokens_per_day), quota_of_users(settings)
    # How many sessions there are of an address nobody knows.
    return own.over(Quota(usual.turns_per_day, usual.tokens_per_day, usual.sessions_per_day))


def erased_name(user_id: str) -> str:
    """Name whoever was erased to the limits, which must name nobody: else who erases their data begins a day anew."""
    return f"erased:{user_hash(user_id).hex()}"
