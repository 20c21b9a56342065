"""Hear messages, batches, words on models and deletions: give sessions their tags, and say so."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeGuard
from uuid import UUID

from services.tagger.counter import Heard, SessionKey
from services.tagger.memory import TaggedSessions
from services.tagger.store import Store
from shared.events import (
    Event,
    MessagePosted,
    ModelChanged,
    ModelRegistered,
    SessionDeleted,
    SessionTagged,
    TagBatchRequested,
    UserErased,
)
from shared.ids import reserved_session

WORDS = ModelRegistered | ModelChanged | TagBatchRequested
MOST_AT_ONCE = 1000  # sessions that one transaction tags, about: a batch has no more


class SessionHandler:
    """The queue `tagger.sessions`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tagged = TaggedSessions()

    async def commit(self, events: Sequence[Event]) -> list[SessionTagged]:
        """Tag one group's sessions, and answer the messages in sessions that were not known to have a tag.

        What was answered is answered again when it is repeated. What is gone gets neither, wherever in the group its
        deletion stands.
        """
        others = [event for event in events if not isinstance(event, MessagePosted)]  # few, or none
        await self._note_what_is_gone(others)
        heard = [event for event in events if self._is_heard(event)]
        return [outcome for portion in portions(heard) for outcome in await self._tag(portion)]

    async def _tag(self, heard: Sequence[Heard]) -> list[SessionTagged]:
        causes = causes_by_session(heard)
        tags = await self._store.tag_sessions(heard, list(causes))
        # A session that was only reserved is not remembered: its first message is still to be answered.
        spoken = {(event.user_id, event.session_id) for event in heard if isinstance(event, MessagePosted)}
        for session in spoken & tags.keys():
            self._tagged.remember(session, causes[session])
        return [
            SessionTagged(user_id=session[0], session_id=session[1], session_tag=tags[session], causes=events)
            for session, events in causes.items()
            if session in tags
        ]

    def forget(self) -> None:
        """Look every session up again: another tagger may have heard of what is gone."""
        self._tagged.forget_all()

    async def _note_what_is_gone(self, events: Sequence[Event]) -> None:
        deleted = [event for event in events if isinstance(event, SessionDeleted)]
        erased = [event for event in events if isinstance(event, UserErased)]
        if not deleted and not erased:
            return
        await self._store.note(deleted, erased)
        for event in deleted:
            self._tagged.forget((event.user_id, event.session_id))
        self._tagged.forget_users({event.user_id for event in erased})

    def _is_heard(self, event: Event) -> TypeGuard[Heard]:
        """Tell whether a user spoke whose session is not known to have its tag, or it is of models or batches."""
        if not isinstance(event, MessagePosted):
            return isinstance(event, WORDS)
        return event.role == "user" and not self._tagged.needs_nothing(
            (event.user_id, event.session_id), event.event_id
        )


def portions(heard: Sequence[Heard]) -> Iterator[Sequence[Heard]]:
    """Cut a group, in its order, where it has too many sessions for one transaction: a batch may reserve a thousand."""
    begin, weight = 0, 0
    for place, event in enumerate(heard):
        is_message = isinstance(event, MessagePosted)  # asked first, wherever most are: it is the quickest answer
        weight += event.count if not is_message and isinstance(event, TagBatchRequested) else 1
        if weight >= MOST_AT_ONCE:
            yield heard[begin : place + 1]
            begin, weight = place + 1, 0
    if begin < len(heard):
        yield heard[begin:]


def causes_by_session(events: Sequence[Heard]) -> dict[SessionKey, tuple[UUID, ...]]:
    """Return the events by which users spoke, by session; a batch is answered with its first session alone."""
    spoken: defaultdict[SessionKey, list[UUID]] = defaultdict(list)
    for event in events:
        if isinstance(event, MessagePosted):
            spoken[event.user_id, event.session_id].append(event.event_id)
        elif isinstance(event, TagBatchRequested):
            spoken[event.user_id, reserved_session(event.batch_id, 0)].append(event.event_id)
    return {session: tuple(event_ids) for session, event_ids in spoken.items()}
