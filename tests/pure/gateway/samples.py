"""Claims, turns and stored sessions to test with."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.gateway.sessions.view import SessionFacts, StoredSession
from services.gateway.turns.past.history import shown_of
from services.gateway.turns.past.said import Glimpse, Said
from services.gateway.turns.stored.claims import Claim
from services.gateway.turns.turn import Answer, Question, Turn
from shared.ids import new_id

NOON = datetime(2020, 1, 1, 12, 0, tzinfo=UTC)  # before any test runs


def minutes(count: float) -> datetime:
    """Return a moment so many minutes past noon."""
    return NOON + timedelta(minutes=count)


def claim(text: str = "hello", **changes: Any) -> Claim:
    """Make ann's claim of the session s1 for a question."""
    values: dict[str, Any] = {
        "turn_id": new_id(),
        "user_id": "ann",
        "session_id": "s1",
        "key": None,
        "body_hash": text.encode(),
        "owner": "test",
        "correlation_id": new_id(),
        "traceparent": None,
        "model": "sandbox-small",
        "provider": "openai",
        "project_id": None,
        "helper": None,
        "question": Question(str(new_id()), text),
    }
    return Claim(**{**values, **changes})


def turn(session_id: str = "s1", at: float = 0, *, answered: float | None = None, **changes: Any) -> Turn:
    """Make a turn asked at some minute, running unless it was answered."""
    is_running = answered is None
    values: dict[str, Any] = {
        "turn_id": new_id(),
        "user_id": "u1",
        "session_id": session_id,
        "body_hash": b"",
        "owner": "http://gateway",
        "attempt": 1,
        "state": "running" if is_running else "complete",
        "correlation_id": new_id(),
        "model": "sandbox-small",
        "provider": "openai",
        "project_id": None,
        "helper": None,
        "question": Question(message_id=str(new_id()), content=f"question {at}"),
        "asked_at": minutes(at),
        "answer": None if is_running else Answer(f"answer {at}", [], "complete"),
        "answered_at": None if answered is None else minutes(answered),
    }
    return Turn(**{**values, **changes})


def glimpse(turn: Turn) -> Glimpse:
    """Return what is small of a turn."""
    return Glimpse(
        turn_id=turn.turn_id,
        user_id=turn.user_id,
        session_id=turn.session_id,
        attempt=turn.attempt,
        state=turn.state,
        model=turn.model,
        project_id=turn.project_id,
        helper=turn.helper,
        question=vars(turn.question),
        asked_at=turn.asked_at,
        answered_at=turn.answered_at,
        told=turn.told,
        expired=turn.expired,
        earlier=[vars(asked) for asked in turn.question.earlier],
    )


def said_in(turns: Iterable[Turn]) -> list[Said]:
    """Return what these turns say, in order."""
    shown = [message for turn in turns for message in shown_of(turn)]
    told = [Said(m.message_id, m.role, m.parent_id, m.created_at, m.client_message_id, m.content) for m in shown]
    return sorted(told, key=lambda said: said.place)


def stored(at: float = 0, **changes: Any) -> StoredSession:
    """Make a stored session whose newest message came at some minute."""
    values: dict[str, Any] = {
        "project_id": None,
        "helper": None,
        "model": "sandbox-small",
        "title": "A title",
        "title_source": "message",
        "message_count": 2,
        "last_message": "the newest stored one",
        "last_message_at": minutes(at),
        "last_activity_at": minutes(at),
        "created_at": minutes(-60),
        "updated_at": minutes(at),
        "ended_at": None,
        "pinned": False,
        "archived": False,
        "folder": None,
        "labels": [],
        "analytics": True,
        "experiment_name": None,
        "metadata": {},
    }
    return StoredSession(**{**values, **changes})


def facts(session_id: str = "s1", **known: Any) -> SessionFacts:
    return SessionFacts(user_id="u1", session_id=session_id, **known)
