"""A model, and the tag that a session was given: as they are read, and as callers read them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from shared.ids import spell_number


@dataclass(frozen=True)
class Tag:
    """What the tagger knows of a session that has a tag."""

    session_tag: str
    counter: int  # counted per user and model
    experiment_name: str | None  # of the batch that reserved the session
    model_id: UUID
    model_name: str  # as people call it now
    reserved_at: datetime | None = None  # none: a message brought the tag

    @property
    def label(self) -> str:
        return f"[{self.model_name} #{spell_number(self.counter)}]"

    def answer(self, experiment_name: str | None) -> "SessionTag":
        """Show the tag of a session of an experiment; one of none counts as its model's own."""
        return SessionTag(
            session_tag=self.session_tag,
            counter=self.counter,
            experiment_name=experiment_name or self.experiment_name or self.model_name,
            model_id=self.model_id,
            model_name=self.model_name,
        )


class SessionTag(BaseModel):
    """The tag that a session has, for its first message to a tracked model or by the batch that reserved it."""

    session_tag: str
    counter: int  # counted per user and model
    experiment_name: str  # the session's, else the batch's, else the model's name
    model_id: UUID
    model_name: str


class ReservedTag(BaseModel):
    """A session that was reserved; null where it is not numbered yet, or was deleted since."""

    session_id: str
    session_tag: str | None
    counter: int | None


class Model(BaseModel):
    id: UUID
    name: str
    display_name: str  # what people call it; the name where nobody has given it another
    provider: str
    tracked: bool  # its sessions get tags
    short_id: str | None  # the model's part of a tag; none until the model is stored
    configured: bool = False  # it can be asked for
    aliases: list[str] = []  # other names that it can be asked for by
