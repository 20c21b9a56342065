"""Hear what was said, what became of dead letters, and the dead letters themselves: keep them, and say so."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from services.logger.dead_letters import DeadLetter
from services.logger.reduction import Decision, SessionKey, session_of
from services.logger.store import Store
from shared.events import DeadLetterDropped, DeadLetterReplayed, Event, MessageEvent, Stored


class ChatHandler:
    """The queue `logger.chat`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def commit(self, events: Sequence[Event]) -> list[Stored]:
        """Store one group; everybody who waits for one of its events is told, also where it changed nothing."""
        messages = [event for event in events if isinstance(event, MessageEvent)]
        decisions = [event for event in events if isinstance(event, DeadLetterReplayed | DeadLetterDropped)]
        await self._store.store_chat(messages, decisions)
        return [*_stored(messages), *map(_decided, decisions)]


class DeadLetterHandler:
    """The queue `dead`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def commit(self, letters: Sequence[DeadLetter]) -> list[Stored]:
        """Keep one group of dead letters; nobody waits for them."""
        await self._store.park(letters)
        return []


def _stored(messages: Sequence[MessageEvent]) -> list[Stored]:
    causes: defaultdict[SessionKey, list[UUID]] = defaultdict(list)
    for event in messages:
        causes[session_of(event)].append(event.event_id)
    return [
        Stored(user_id=user_id, session_id=session_id, causes=tuple(event_ids))
        for (user_id, session_id), event_ids in causes.items()
    ]


def _decided(decision: Decision) -> Stored:
    return Stored(user_id=decision.operator, causes=(decision.event_id,))
