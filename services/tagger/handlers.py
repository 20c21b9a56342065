"""Hear messages and registrations of models: give sessions their tags, and say so."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from services.tagger.counter import Heard, SessionKey
from services.tagger.store import Store
from shared.events import Event, MessagePosted, ModelRegistered, SessionTagged


class SessionHandler:
    """The queue `tagger.sessions`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def commit(self, events: Sequence[Event]) -> list[SessionTagged]:
        """Tag one group's sessions; every user's message in a tagged session is answered, a repeated one too."""
        heard = [event for event in events if isinstance(event, MessagePosted | ModelRegistered)]
        causes = user_messages(heard)
        if not causes and all(isinstance(event, MessagePosted) for event in heard):
            return []  # the system's and the tools' messages bring no tag
        tags = await self._store.tag_sessions(heard, list(causes))
        return [
            SessionTagged(user_id=user_id, session_id=session_id, session_tag=tag, causes=causes[user_id, session_id])
            for (user_id, session_id), tag in tags.items()
        ]


def user_messages(events: Sequence[Heard]) -> dict[SessionKey, tuple[UUID, ...]]:
    """Return the events by which users spoke, by session: only these ever bring a tag."""
    spoken: defaultdict[SessionKey, list[UUID]] = defaultdict(list)
    for event in events:
        if isinstance(event, MessagePosted) and event.role == "user":
            spoken[event.user_id, event.session_id].append(event.event_id)
    return {session: tuple(event_ids) for session, event_ids in spoken.items()}
