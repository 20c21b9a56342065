"""What was said in a session: the stored messages united with the turns that are not stored yet, by message id.

The turns are read first: what the logger stores between the two reads is then seen twice and kept once, never missed.
So chat goes on, with its memory, while the logger or the broker is away.
"""

from collections.abc import Iterable
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
    asked = [] if turn.question.is_known else [question_of(turn)]
    answer = answer_of(turn)
    return [*before, *asked, answer] if answer else [*before, *asked]


def question_of(turn: Turn) -> HistoryMessage:
    """Show a turn's question, also where it was asked before."""
    question = turn.question
    return HistoryMessage(
        message_id=question.message_id,
        role=question.role,
        content=question.content,
        parts=question.parts,
        model=turn.model or None,
        status="complete",
        parent_id=question.parent_id,
        created_at=question.said_at or turn.asked_at,
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
