"""The same records as older clients spell them: in camelCase, with roles in upper case. Pure."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from services.gateway.http.requests.pages import Page
from services.gateway.sessions.answers import Session
from services.gateway.turns.past.history import HistoryMessage


class _Older(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class OlderSession(_Older):
    id: str
    user_id: str
    model: str | None
    title: str | None
    created_at: datetime
    updated_at: datetime
    last_activity_at: datetime
    message_count: int
    last_message: str | None
    stored: bool

    @classmethod
    def of(cls, user_id: str, session: Session) -> Self:
        return cls(user_id=user_id, **{name: getattr(session, name) for name in _SAME})


_SAME = OlderSession.model_fields.keys() - {"user_id"}


class OlderMessage(_Older):
    id: str
    chat_session_id: str
    role: str
    content: str
    model: str | None
    status: str
    created_at: datetime
    stored: bool

    @classmethod
    def of(cls, session_id: str, shown: HistoryMessage) -> Self:
        return cls(
            id=shown.message_id,
            chat_session_id=session_id,
            role=shown.role.upper(),
            content=shown.content,
            model=shown.model,
            status=shown.status,
            created_at=shown.created_at,
            stored=shown.stored,
        )


class OlderSessionAnswer(OlderSession):
    """A session that was begun: its fields, and the same once more for clients that look for it by its name."""

    session: OlderSession

    @classmethod
    def naming(cls, session: OlderSession) -> Self:
        return cls(**session.model_dump(), session=session)


class OlderSessionPage(Page):
    sessions: list[OlderSession]


class OlderMessagePage(Page):
    messages: list[OlderMessage]
