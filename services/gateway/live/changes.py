"""What changed, in the words that listeners are told; and by which table a look would find it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from shared.events import Outcome, SessionTagged, SessionTouched, Stored, TripAdvanced

# The event that a listener waits for, by the word for what changed; any other word is `changed`.
NAMES = {
    "messages": "stored",
    "title": "renamed",
    "tag": "tagged",
    "trip": "trip",
    "proposal": "proposal",
    "deleted": "deleted",
}
OTHER = "changed"
# A session's row tells that something of it is new, and not what.
ANYTHING = ("messages", "title", "session")


class Source(Enum):
    """Where a look would find what an outcome tells; of what a gateway itself changed it finds nothing."""

    CHAT = "chat"
    TAGGING = "tagging"
    WORKFLOW = "workflow"
    GATEWAY = "gateway"


class Place(NamedTuple):
    user_id: str
    session_id: str
    source: Source


@dataclass(frozen=True)
class Change:
    """One event of a stream: what is new of a session, as far as it goes by one name."""

    user_id: str
    session_id: str
    name: str
    words: tuple[str, ...]
    at: datetime

    def and_then(self, later: "Change") -> "Change":
        """Say both at once."""
        return replace(later, words=tuple(dict.fromkeys((*self.words, *later.words))))


def changes(user_id: str, session_id: str, words: Iterable[str], at: datetime) -> list[Change]:
    """Make an event for each name that these words go by."""
    by_name: dict[str, list[str]] = {}
    for word in words:
        by_name.setdefault(NAMES.get(word, OTHER), []).append(word)
    return [Change(user_id, session_id, name, tuple(said), at) for name, said in by_name.items()]


def told_by(outcome: Outcome) -> tuple[Source, tuple[str, ...]]:
    """Return what an outcome says, and where it comes from."""
    if isinstance(outcome, Stored):
        return Source.CHAT, outcome.changed
    if isinstance(outcome, SessionTagged):
        return Source.TAGGING, ("tag",)
    if isinstance(outcome, TripAdvanced):
        return Source.WORKFLOW, outcome.changed
    return Source.GATEWAY, outcome.changed if isinstance(outcome, SessionTouched) else (OTHER,)
