"""What the chat is to be told: of one shape, whatever it is about. Whoever tells it does so by the same four steps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

Session = tuple[str, str, datetime]  # user id, session id, when the order was accepted that tied it to the trip


@dataclass(frozen=True, kw_only=True)
class Untold:
    """One note, and who is to be told."""

    trip_id: UUID
    said_at: datetime | None  # its place in the chat, committed before it is published first; none: it never was
    sessions: list[Session]


N = TypeVar("N", bound=Untold)


class UntoldStore(Protocol[N]):
    """Notes of one kind. One is pending until it was told, or is given up."""

    async def next_untold(self) -> N | None:
        """Return the note that has waited longest."""

    async def say(self, note: N) -> datetime | None:
        """Commit when the note is told, once; None where it is no longer what it was."""

    async def told(self, note: N) -> None:
        """Note that the chat was told."""

    async def leave_unsaid(self, note: N, why: str) -> None:
        """Give a note up that can't be told."""
