"""Hear what was said, what people set of sessions, the dead letters and what became of them: keep it, and say so.

Hear which consumers have started, too: what an older one did not know is sent to its queue again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from services.logger.dead_letters.known import DeadLetter
from services.logger.dead_letters.rows import Refused
from services.logger.reducing.reduction import Decision, SessionKey, session_of
from services.logger.store import Store
from shared.consuming.parking import send_back
from shared.events import (
    ConsumerStarted,
    ConversationRead,
    DeadLetterDropped,
    DeadLetterReplayed,
    Event,
    FeedbackGiven,
    MessageEvent,
    Outcome,
    SessionChanged,
    SessionDeleted,
    SessionEvent,
    SessionForked,
    SessionOpened,
    SessionTitled,
    Stored,
    TemplateDeleted,
    TemplateSaved,
    TracesReported,
    UserErased,
)
from shared.publishing.publisher import Publisher
from shared.topology import QUEUES

OPERATOR = "tripthread"  # who has decided what nobody had to
CONSUMED = frozenset(queue.name for queue in QUEUES if queue.hears)


class ChatHandler:
    """The queue `logger.chat`."""

    def __init__(self, store: Store, wake: Callable[[], None] = lambda: None) -> None:
        """Prepare; `wake` is called when there is something to sweep."""
        self._store = store
        self._wake = wake

    async def commit(self, events: Sequence[Event]) -> list[Stored]:
        """Store one group; everybody who waits for one of its events is told, also where it changed nothing."""
        messages = [event for event in events if isinstance(event, MessageEvent)]
        edits = [event for event in events if isinstance(event, SessionOpened | SessionChanged | SessionTitled)]
        forks = [event for event in events if isinstance(event, SessionForked)]
        templates = [event for event in events if isinstance(event, TemplateSaved | TemplateDeleted)]
        feedback = [event for event in events if isinstance(event, FeedbackGiven)]
        reports = [event for event in events if isinstance(event, TracesReported)]
        decisions = [event for event in events if isinstance(event, DeadLetterReplayed | DeadLetterDropped)]
        reads = [event for event in events if isinstance(event, ConversationRead)]
        deletions = [event for event in events if isinstance(event, SessionDeleted)]
        erasures = [event for event in events if isinstance(event, UserErased)]
        await self._store.store_chat(
            messages,
            decisions,
            edits,
            deletions,
            erasures,
            forks=forks,
            feedback=feedback,
            templates=templates,
            reports=reports,
            reads=reads,
        )
        if deletions or erasures:
            self._wake()
        of_sessions = [*messages, *edits, *forks, *feedback, *deletions]
        by_operators = [*decisions, *reads]
        return [*_stored(of_sessions), *map(_decided, by_operators), *map(_noted, [*templates, *reports, *erasures])]


class DeadLetterHandler:
    """The queue `dead`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def commit(self, letters: Sequence[DeadLetter]) -> list[Stored]:
        """Keep one group of dead letters; nobody waits for them."""
        await self._store.park(letters)
        return []


class ConsumerHandler:
    """The queue `logger.consumers`."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    async def commit(self, events: Sequence[Event]) -> list[Outcome]:
        """Send back what these consumers' queues refused as unknown, and what they know now."""
        heard: defaultdict[str, set[str]] = defaultdict(set)
        for event in events:
            if isinstance(event, ConsumerStarted) and event.queue in CONSUMED:
                heard[event.queue].update(event.hears)
        for queue, names in heard.items():
            await self._send_back(queue, sorted(names))
        return []

    async def _send_back(self, queue: str, names: Sequence[str]) -> None:
        """Send each letter once: one that an older consumer refuses again waits until one says again what it hears."""
        last: UUID | None = None
        while letters := await self._store.refused_as_unknown(queue, names, last):
            await self._send_batch_back(queue, letters)
            last = letters[-1].dead_letter_id

    async def _send_batch_back(self, queue: str, letters: Sequence[Refused]) -> None:
        """Send first and write down then: a crash in between sends them twice, and every consumer ignores repeats."""
        sending = (
            send_back(
                self._publisher,
                queue,
                letter.body,
                name=letter.event_name,
                event_id=letter.event_id,
                headers=letter.headers,
            )
            for letter in letters
        )
        results = await asyncio.gather(*sending, return_exceptions=True)
        sent = [letter for letter, error in zip(letters, results, strict=True) if error is None]
        await self._store.store_chat((), [_replayed(letter) for letter in sent])
        for error in results:
            if error is not None:
                raise error


def _replayed(letter: Refused) -> DeadLetterReplayed:
    return DeadLetterReplayed(dead_letter_id=letter.dead_letter_id, operator=OPERATOR, arrivals=letter.arrivals)


def _stored(events: Sequence[SessionEvent]) -> list[Stored]:
    causes: defaultdict[SessionKey, list[UUID]] = defaultdict(list)
    for event in events:
        causes[session_of(event)].append(event.event_id)
    changed = _changed(events)
    return [
        Stored(
            user_id=user_id, session_id=session_id, causes=tuple(event_ids), **changed.get((user_id, session_id), {})
        )
        for (user_id, session_id), event_ids in causes.items()
    ]


def _changed(events: Sequence[SessionEvent]) -> dict[SessionKey, dict[str, Any]]:
    """Say what changed of each session of which it is more than its messages, in the words of `GET /api/events`."""
    edited = {session_of(event) for event in events if not isinstance(event, MessageEvent)}
    words: defaultdict[SessionKey, dict[str, None]] = defaultdict(dict)
    for event in events if edited else ():
        words[session_of(event)] |= dict.fromkeys(_words(event))
    return {session: {"changed": tuple(words[session])} for session in edited}


def _words(event: SessionEvent) -> tuple[str, ...]:
    if isinstance(event, SessionChanged):
        return event.changed
    if isinstance(event, SessionTitled):
        return ("title",)
    if isinstance(event, SessionDeleted):
        return ("deleted",)
    if isinstance(event, FeedbackGiven):
        return ("feedback",)
    return ("created",) if isinstance(event, SessionOpened | SessionForked) else ("messages",)


def _noted(event: UserErased | TemplateSaved | TemplateDeleted | TracesReported) -> Stored:
    return Stored(user_id=event.user_id, causes=(event.event_id,))


def _decided(decision: Decision | ConversationRead) -> Stored:
    return Stored(user_id=decision.operator, causes=(decision.event_id,))
