"""What the API's answers are made of, shared by several routes; API.md says what each field is for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.gateway.history import Shown

SessionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
# As `shared.events.Name`, in words that OpenAPI has.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Json = dict[str, Any]


class PageQuery(BaseModel):
    """Which page. An unknown filter is refused: a list that ignores one is a wrong answer."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = None


class Page(BaseModel):
    """What every list answers with, besides its items."""

    next_cursor: str | None = None  # of the next page; none on the last one
    has_more: bool = False


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

    @classmethod
    def of(cls, shown: Shown) -> Self:
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
        )


def message_out(shown: Shown) -> dict[str, Any]:
    """Spell a message for JSON that is written by hand."""
    return Message.of(shown).model_dump(mode="json")


class Tag(BaseModel):
    """The tag that a session was given for its first message to a tracked model."""

    session_tag: str
    counter: int  # counted per user and model
    experiment_name: str | None
    model_id: UUID
    model_name: str

    @property
    def label(self) -> str:
        return f"[{self.model_name} #{self.counter:03d}]"


class Model(BaseModel):
    id: UUID
    name: str
    provider: str
    tracked: bool  # its sessions get tags
    short_id: str | None  # the model's part of a tag; none until the model is stored


class TripSummary(BaseModel):
    """How far a session's trip has come."""

    id: UUID
    avinode_trip_id: str | None
    trip_code: str | None
    status: str
    current_step: str
    operators_contacted_count: int
    quotes_expected_count: int
    quotes_received_count: int


class RunningTurn(BaseModel):
    turn_id: UUID
    started_at: datetime


class Session(BaseModel):
    id: str
    thread_id: str
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
    current_step: str
    trip: TripSummary | None
    running_turn: RunningTurn | None
    metadata: Json
    stored: bool
