"""A model, and the tag that a session was given, as callers read them."""

from uuid import UUID

from pydantic import BaseModel

from shared.ids import spell_number


class Tag(BaseModel):
    """The tag that a session was given for its first message to a tracked model."""

    session_tag: str
    counter: int  # counted per user and model
    experiment_name: str | None
    model_id: UUID
    model_name: str

    @property
    def label(self) -> str:
        return f"[{self.model_name} #{spell_number(self.counter)}]"


class Model(BaseModel):
    id: UUID
    name: str
    provider: str
    tracked: bool  # its sessions get tags
    short_id: str | None  # the model's part of a tag; none until the model is stored
    configured: bool = False  # it can be asked for
    aliases: list[str] = []  # other names that it can be asked for by
