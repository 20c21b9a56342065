"""Events to test the logger with."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events import MessageAnswered, MessagePosted, SessionChanged, SessionOpened, SessionTitled, Trace

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(second: float) -> datetime:
    """Return a moment so many seconds past noon."""
    return NOON + timedelta(seconds=second)


def posted(message_id: str = "m1", second: float = 0, **fields: Any) -> MessagePosted:
    """Make a message of a user's, unless the fields say otherwise."""
    return MessagePosted.model_validate({"role": "user"} | _message(message_id, second) | fields)


def answered(message_id: str = "a1", second: float = 1, **fields: Any) -> MessageAnswered:
    """Make a complete answer without a trace, unless the fields say otherwise."""
    return MessageAnswered.model_validate({"status": "complete"} | _message(message_id, second) | fields)


def trace(trace_id: str = "t1", **fields: Any) -> Trace:
    values = {"trace_id": trace_id, "model": "gpt", "provider": "openai", "status": "ok", "started_at": NOON}
    return Trace.model_validate(values | fields)


def _message(message_id: str, second: float) -> dict[str, Any]:
    return {
        "user_id": "ada",
        "session_id": "s1",
        "message_id": message_id,
        "content": f"this is {message_id}",
        "created_at": at(second),
    }


def opened(second: float = 0, **fields: Any) -> SessionOpened:
    """Make the opening of a session that says nothing about it, unless the fields do."""
    return SessionOpened.model_validate({"user_id": "ada", "session_id": "s1", "accepted_at": at(second)} | fields)


def changed(
    second: float = 1, ended_at: datetime | None = None, session_id: str = "s1", **patch: Any
) -> SessionChanged:
    """Make a change of a session that began at noon."""
    about = {"user_id": "ada", "session_id": session_id, "accepted_at": at(second), "began_at": NOON}
    return SessionChanged.model_validate({**about, "changed": tuple(patch), "ended_at": ended_at, **patch})


def titled(title: str, second: float = 0, session_id: str = "s1") -> SessionTitled:
    """Make a model's title of a session whose first question was asked then."""
    return SessionTitled(user_id="ada", session_id=session_id, accepted_at=at(second), title=title)
