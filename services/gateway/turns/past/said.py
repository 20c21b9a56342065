"""What was said in a session, without what is large of it: who said it, when, in reply to what. Pure.

The text of a message is there only where it was read: for the model as far as it is remembered, for a list not at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any
from uuid import UUID

from services.gateway.turns.turn import POSTED, Turn
from shared.ids import answer_id

Place = tuple[datetime, str]


@dataclass(frozen=True)
class Said:
    """A message, with its text or without."""

    message_id: str
    role: str
    parent_id: str | None
    created_at: datetime
    client_message_id: str | None = None
    content: str | None = None  # none: it was not read
    digest: bytes | None = None  # SHA-256 of the text, where that was asked for
    is_clients: bool = False  # its client stored it; it is no turn's

    @property
    def place(self) -> Place:
        """The message's place in its session."""
        return self.created_at, self.message_id

    @property
    def is_note(self) -> bool:
        """Whether the system noted it, so that it is on every branch and nobody replies to it."""
        return self.parent_id is None and self.role in ("system", "tool")

    def says(self, text: str) -> bool:
        """Tell whether this is its text; one of which nothing was read says nothing."""
        return self.content == text if self.content is not None else self.digest == sha256(text.encode()).digest()


@dataclass(frozen=True)
class Glimpse:
    """A turn without its texts."""

    turn_id: UUID
    user_id: str
    session_id: str
    attempt: int
    state: str  # running, posted, or the answer's status
    model: str
    project_id: str | None
    helper: str | None
    question: Mapping[str, Any]  # {message_id, parent_id, client_message_id, is_known, role}
    asked_at: datetime
    answered_at: datetime | None = None
    age_s: float = 0.0  # since it said something last
    told: bool = False  # all its events are known to be with the broker
    expired: bool = False  # running, but past its lease: its owner is taken for dead
    earlier: Sequence[Mapping[str, Any]] = ()  # what came with the question, likewise

    @cached_property
    def answer_id(self) -> str:
        return str(answer_id(self.turn_id, self.attempt))

    @property
    def place(self) -> datetime:
        """When the newest of its messages was said."""
        return self.answered_at or self.asked_at

    def said(self) -> list[Said]:
        """Tell of its question where it is new, of what came with it, and, once it has one, of its answer."""
        count = len(self.earlier)
        asked = [
            Said(
                each["message_id"],
                each.get("role", "user"),
                each.get("parent_id"),
                at,
                each.get("client_message_id"),
                is_clients=self.state == POSTED,
            )
            for index, each in enumerate((*self.earlier, self.question))
            if not each.get("is_known")
            for at in (self.asked_at - timedelta(microseconds=count - index),)
        ]
        if self.answered_at is None:
            return asked
        return [*asked, Said(self.answer_id, "assistant", self.question["message_id"], self.answered_at)]


def unite(*kinds: Iterable[Said]) -> list[Said]:
    """Unite messages in their session's order; of two of one id the one that comes later is kept."""
    by_id = {said.message_id: said for kind in kinds for said in kind}
    return sorted(by_id.values(), key=lambda said: said.place)


def said_before(turn: Turn) -> list[Said]:
    """Tell of the messages that come with a turn's question."""
    return [
        Said(asked.message_id, "user", asked.parent_id, before.asked_at, asked.client_message_id, asked.content)
        for before in turn.earlier()
        for asked in (before.question,)
        if not asked.is_known
    ]


def branch(history: Sequence[Said], leaf: str | None) -> list[Said]:
    """Return what was said on the way to `leaf`, in order; without a leaf, on the way to the newest message.

    Other answers to a question, and other wordings of one, are on other branches. What the system noted without a
    parent is on every branch.
    """
    by_id = {said.message_id: said for said in history}
    at = leaf if leaf is not None else newest(history)
    path: set[str] = set()
    while at is not None and at in by_id and at not in path:
        path.add(at)
        at = by_id[at].parent_id
    return [said for said in history if said.message_id in path or said.is_note]


def missing_parents(history: Sequence[Said], message_ids: Iterable[str]) -> set[str]:
    """Return where the ways to these messages, by our ids or the client's, leave what is known."""
    named = set(message_ids)
    ends = [said for said in history if said.message_id in named or said.client_message_id in named]
    by_id = {said.message_id: said for said in history} if ends else {}
    firsts = (_first_known(said, by_id) for said in ends)
    return {said.parent_id for said in firsts if said.parent_id is not None and said.parent_id not in by_id}


def _first_known(said: Said, by_id: Mapping[str, Said]) -> Said:
    seen: set[str] = set()
    while said.message_id not in seen and (before := by_id.get(said.parent_id or "")):
        seen.add(said.message_id)
        said = before
    return said


def newest(history: Sequence[Said]) -> str | None:
    """Return the id of the newest message that can be answered or replied to; None in an empty session."""
    return next((said.message_id for said in reversed(history) if not said.is_note), None)
