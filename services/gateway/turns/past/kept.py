"""What a session keeps from message to message: its project, its helper, and the model that answered last. Pure.

Project and helper are what the first message that names one says, or who made the session: nothing that is said later
changes them. The logger keeps to that, and so does every claim, by giving a turn what its session has; so the turns
that are not stored yet say it too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncpg

from services.gateway.turns.past.said import Glimpse
from shared.errors import NotFound


class Keeping(Protocol):
    """What the row of a session has."""

    @property
    def project_id(self) -> str | None: ...
    @property
    def helper(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...


@dataclass(frozen=True)
class Kept:
    """What a session keeps, by what is known of it."""

    project_id: str | None = None
    helper: str | None = None
    model: str | None = None  # of the newest message that names one


NOTHING = Kept()


def kept_by(turns: Sequence[Glimpse], stored: Keeping | None = None) -> Kept:
    """Unite what is stored with what those turns of the session say that are not."""
    stored = stored or NOTHING
    if not turns:
        return Kept(stored.project_id, stored.helper, stored.model)
    in_order = sorted(turns, key=lambda turn: turn.asked_at)
    return Kept(
        stored.project_id or next((turn.project_id for turn in in_order if turn.project_id), None),
        stored.helper or next((turn.helper for turn in in_order if turn.helper), None),
        next((turn.model for turn in reversed(in_order) if turn.model), stored.model),
    )


def kept_in(row: asyncpg.Record) -> Kept:
    """Read what a row of `chat.sessions` has."""
    return Kept(row["project_id"], row["helper"], row["model"])


def first_seen(kept: Mapping[str, Kept], sees: Callable[[str | None], bool]) -> str | None:
    """Return the first of the users whose session of some id is there for a caller; None where nobody has one.

    Args:
        kept: What the session of each user keeps who has one.
        sees: Tells whether a session of this project is there for the caller.

    Raises:
        NotFound: None of them is.
    """
    seen = next((user_id for user_id, each in kept.items() if sees(each.project_id)), None)
    if seen is None and kept:
        raise NotFound("There is no such session.")
    return seen
