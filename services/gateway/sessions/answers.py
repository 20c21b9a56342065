"""A session and its messages, as callers read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel

from services.gateway.http.requests.fields import Json
from services.gateway.sessions.status import TripStatus
from services.gateway.turns.past.history import HistoryMessage


class Feedback(BaseModel):
    """What its user thinks of a message."""

    value: Literal["up", "down"]
    comment: str | None
    created_at: datetime


class Message(BaseModel):
    id: str
    role: str
    content: str
    parts: list[Json]  # AI SDK UI message parts
    model: str | None
    status: str
    parent_id: str | None
    created_at: datetime
    metadata: Json
    error: str | None
    stored: bool
    feedback: Feedback | None

    @classmethod
    def of(cls, shown: HistoryMessage, feedback: Feedback | None = None) -> Self:
        parts: Sequence[Json] = shown.parts or ([{"type": "text", "text": shown.content}] if shown.content else [])
        return cls(
            id=shown.message_id,
            role=shown.role,
            content=shown.content,
            parts=list(parts),
            model=shown.model,
            status=shown.status,
            parent_id=shown.parent_id,
            created_at=shown.created_at,
            metadata=shown.metadata,
            error=shown.error,
            stored=shown.stored,
            feedback=feedback,
        )


def message_out(shown: HistoryMessage) -> dict[str, Any]:
    """Spell a message for JSON that is written by hand."""
    return Message.of(shown).model_dump(mode="json")


class TripSummary(BaseModel):
    """How far a session's trip has come."""

    id: UUID
    avinode_trip_id: str | None
    trip_code: str | None
    status: TripStatus
    current_step: str
    operators_contacted_count: int
    quotes_expected_count: int
    quotes_received_count: int


class RunningTurn(BaseModel):
    turn_id: UUID
    started_at: datetime


class SnippetPart(BaseModel):
    """A piece of plain text; whoever shows it escapes it as they escape every other."""

    text: str
    match: bool  # it is what was looked for


class Snippet(BaseModel):
    """Where in a session the words of a search were found; the pieces in order are one line."""

    message_id: str | None  # none: in the title
    parts: list[SnippetPart]


class Session(BaseModel):
    id: str
    thread_id: str
    status: TripStatus
    workflow_state: Json
    title: str | None
    helper: str | None
    project_id: str | None
    model: str | None
    session_tag: str | None
    tag_label: str | None
    message_count: int
    last_message: str | None
    last_activity_at: datetime
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    pinned: bool
    archived: bool
    folder: str | None
    labels: list[str]
    analytics: bool
    experiment_name: str | None
    mixed: bool  # more than one model was spoken to in it
    forked_from: str | None
    current_step: str
    trip: TripSummary | None
    running_turn: RunningTurn | None
    metadata: Json
    stored: bool
    snippet: Snippet | None = None  # only in a list that `q` asks for


class SessionAnswer(BaseModel):
    session: Session
