"""What was said in a session: the stored messages united with the turns that are not stored yet, by message id.

The turns are read first: what the logger stores between the two reads is then seen twice and kept once, never missed.
So chat goes on, with its memory, while the logger or the broker is away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.gateway.turns.turn import Turn


@dataclass(frozen=True)
class HistoryMessage:
    """A message as callers see it."""

    message_id: str
    role: str
    content: str
    parts: list[dict[str, Any]]
    model: str | None
    status: str
    parent_id: str | None
    created_at: datetime
    metadata: dict[str, Any] = field(default_factory=dict)
    stored: bool = True
    error: str | None = None
    client_message_id: str | None = None

    @property
    def place(self) -> tuple[datetime, str]:
        """The message's place in its session."""
        return self.created_at, self.message_id


def merge_history(stored: Iterable[HistoryMessage], turns: Iterable[Turn]) -> list[HistoryMessage]:
    """Unite both in the session's order; of two versions of one message the stored one is kept."""
    messages = {shown.message_id: shown for turn in turns for shown in shown_of(turn)}
    messages.update({shown.message_id: shown for shown in stored})
    return sorted(messages.values(), key=lambda shown: shown.place)


def shown_of(turn: Turn) -> list[HistoryMessage]:
    """Show a turn's question where it is new, what came with it, and, once it has one, its answer."""
    before = [shown for earlier in turn.earlier() for shown in shown_of(earlier)]
    asked = [] if turn.question.is_known else [_question_of(turn)]
    answer = answer_of(turn)
    return [*before, *asked, answer] if answer else [*before, *asked]


def _question_of(turn: Turn) -> HistoryMessage:
    question = turn.question
    return HistoryMessage(
        message_id=question.message_id,
        role="user",
        content=question.content,
        parts=question.parts,
        model=turn.model,
        status="complete",
        parent_id=question.parent_id,
        created_at=turn.asked_at,
        metadata=question.metadata,
        stored=False,
        client_message_id=question.client_message_id,
    )


def answer_of(turn: Turn) -> HistoryMessage | None:
    """Show a turn's answer; None while it runs."""
    if turn.answer is None or turn.answered_at is None:
        return None
    return HistoryMessage(
        message_id=turn.answer_id,
        role="assistant",
        content=turn.answer.content,
        parts=turn.answer.parts,
        model=turn.model,
        status=turn.answer.status,
        parent_id=turn.question.message_id,
        created_at=turn.answered_at,
        metadata=turn.answer.metadata,
        stored=False,
        error=turn.answer.error,
    )


def branch(history: Sequence[HistoryMessage], leaf: str | None) -> list[HistoryMessage]:
    """Return what was said on the way to `leaf`, in order; without a leaf, on the way to the newest message.

    Other answers to a question, and other wordings of one, are on other branches. What the system noted without a
    parent is on every branch.
    """
    by_id = {shown.message_id: shown for shown in history}
    at = leaf if leaf is not None else newest(history)
    path: set[str] = set()
    while at is not None and at in by_id and at not in path:
        path.add(at)
        at = by_id[at].parent_id
    return [shown for shown in history if shown.message_id in path or _is_note(shown)]


def missing_parents(history: Sequence[HistoryMessage], message_ids: Iterable[str]) -> set[str]:
    """Return where the ways to these messages, by our ids or the client's, leave what is known."""
    named = set(message_ids)
    ends = [shown for shown in history if shown.message_id in named or shown.client_message_id in named]
    by_id = {shown.message_id: shown for shown in history} if ends else {}
    firsts = (_first_known(shown, by_id) for shown in ends)
    return {shown.parent_id for shown in firsts if shown.parent_id is not None and shown.parent_id not in by_id}


def _first_known(shown: HistoryMessage, by_id: Mapping[str, HistoryMessage]) -> HistoryMessage:
    seen: set[str] = set()
    while shown.message_id not in seen and (before := by_id.get(shown.parent_id or "")):
        seen.add(shown.message_id)
        shown = before
    return shown


def newest(history: Sequence[HistoryMessage]) -> str | None:
    """Return the id of the newest message that can be answered or replied to; None in an empty session."""
    return next((shown.message_id for shown in reversed(history) if not _is_note(shown)), None)


def _is_note(shown: HistoryMessage) -> bool:
    return shown.parent_id is None and shown.role in ("system", "tool")
