"""A group of events reduced to one row a key, so that each statement of the store touches each row once. Pure.

Nothing here depends on the order of the events, but for two of the same version: the first one is kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from uuid import UUID

from services.logger.reducing.titles import title_of
from shared.events import (
    POSTED_RANK,
    DeadLetterDropped,
    DeadLetterReplayed,
    MessageAnswered,
    MessageEvent,
    MessagePosted,
    SessionEvent,
    Trace,
)

SessionKey = tuple[str, str]  # user and session
MessageKey = tuple[str, str, str]  # user, session and message
TraceKey = tuple[str, str]  # user and trace
Decision = DeadLetterReplayed | DeadLetterDropped


@dataclass(slots=True)
class SessionStep:
    """What some messages change about their session."""

    first_at: datetime
    newest: MessageEvent
    titling: MessagePosted | None = None  # the first message of the user that has words
    title: str | None = None
    modelling: MessageEvent | None = None  # the newest that names a model
    is_mixed: bool = False  # two of them name different ones
    project_id: str | None = None
    helper: str | None = None
    first_known: MessagePosted | None = None  # of those that say from where they came
    last_known: MessagePosted | None = None


def session_of(event: SessionEvent) -> SessionKey:
    return event.user_id, event.session_id


def key_of(event: MessageEvent) -> MessageKey:
    return event.user_id, event.session_id, event.message_id


def place_of(event: MessageEvent) -> tuple[datetime, str]:
    """Return the message's place in its session."""
    return event.created_at, event.message_id


def version_of(event: MessageEvent) -> tuple[int, int]:
    """Return (revision, rank): of two versions of one message the greater is kept."""
    return (event.revision, event.rank) if isinstance(event, MessageAnswered) else (0, POSTED_RANK)


def role_of(event: MessageEvent) -> str:
    return event.role if isinstance(event, MessagePosted) else "assistant"


def greatest_versions(events: Iterable[MessageEvent]) -> dict[MessageKey, MessageEvent]:
    """Return one event for each message."""
    kept: dict[MessageKey, MessageEvent] = {}
    for event in events:
        key = key_of(event)
        known = kept.get(key)
        if known is None or version_of(event) > version_of(known):
            kept[key] = event
    return kept


def greatest_traces(events: Iterable[MessageEvent]) -> list[tuple[MessageAnswered, Trace]]:
    """Return each trace once, with its answer; the trace of an answer's lesser version is a trace too."""
    kept: dict[TraceKey, tuple[MessageAnswered, Trace]] = {}
    for event in events:
        if not isinstance(event, MessageAnswered):
            continue
        for trace in (*event.rounds, *((event.trace,) if event.trace is not None else ())):
            key = event.user_id, trace.trace_id
            if key not in kept or version_of(event) > version_of(kept[key][0]):
                kept[key] = event, trace
    return list(kept.values())


def final_decisions(decisions: Iterable[Decision]) -> list[Decision]:
    """Return one decision for each dead letter: a drop before a replay, and the replay that knew of more arrivals."""
    kept: dict[UUID, Decision] = {}
    for decision in decisions:
        known = kept.get(decision.dead_letter_id)
        if known is None or _finality(decision) > _finality(known):
            kept[decision.dead_letter_id] = decision
    return list(kept.values())


def _finality(decision: Decision) -> float:
    return decision.arrivals if isinstance(decision, DeadLetterReplayed) else inf


def steps(messages: Iterable[MessageEvent]) -> list[SessionStep]:
    """Sum up what was said, session by session."""
    found: dict[SessionKey, SessionStep] = {}
    for event in messages:
        key = session_of(event)
        step = found.get(key)
        if step is None:
            step = found[key] = SessionStep(first_at=event.created_at, newest=event)
        _take(step, event)
    return list(found.values())


def _take(step: SessionStep, event: MessageEvent) -> None:
    place = place_of(event)
    step.first_at = min(step.first_at, event.created_at)
    if place > place_of(step.newest):
        step.newest = event
    if event.model is not None:
        _take_model(step, event)
    step.project_id = step.project_id or event.project_id
    step.helper = step.helper or event.helper
    if isinstance(event, MessagePosted):
        if event.client is not None:
            _take_client(step, event)
        if event.role == "user":
            _take_title(step, event)


def _take_client(step: SessionStep, event: MessagePosted) -> None:
    if step.first_known is None or place_of(event) < place_of(step.first_known):
        step.first_known = event
    if step.last_known is None or place_of(event) > place_of(step.last_known):
        step.last_known = event


def _take_model(step: SessionStep, event: MessageEvent) -> None:
    if step.modelling is not None and step.modelling.model != event.model:
        step.is_mixed = True
    if step.modelling is None or place_of(event) > place_of(step.modelling):
        step.modelling = event


def _take_title(step: SessionStep, event: MessagePosted) -> None:
    if step.titling is None or place_of(event) < place_of(step.titling):
        title = title_of(event.content)
        if title is not None:
            step.titling, step.title = event, title
