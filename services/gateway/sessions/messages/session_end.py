"""Where a new message of a session goes: whose session it is, what came last, and what the message names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from services.gateway.account.projects import Projects, sees
from services.gateway.sessions.messages.queries import MessageQueries
from services.gateway.sessions.openings import SessionOpenings
from services.gateway.turns.past.history import HistoryMessage, shown_of
from services.gateway.turns.past.kept import Kept, first_seen, kept_by
from services.gateway.turns.past.said import Glimpse
from services.gateway.turns.stored.readings import TurnReadings
from shared.errors import NotFound


@dataclass(frozen=True)
class SessionEnd:
    """The end of a session, which may be new."""

    user_id: str
    session_id: str
    unstored: Sequence[Glimpse]
    known_until: datetime | None  # the place of its newest turn; none: it has none
    newest: str | None  # the newest message that can be replied to
    kept: Kept | None  # what the session keeps; none: it is new


@dataclass(frozen=True)
class Named:
    """Messages that were asked for, by our ids or the client's."""

    messages: Sequence[HistoryMessage]  # in order

    def exact(self, name: str) -> HistoryMessage | None:
        """Return the message of this id; else of those that a client called so the newest."""
        return next((each for each in self.messages if each.message_id == name), None) or self.newest(name)

    def newest(self, name: str) -> HistoryMessage | None:
        """Return the newest wording of a message, whose client calls them all by one id."""
        named = (each for each in reversed(self.messages) if name in (each.message_id, each.client_message_id))
        return next(named, None)


class SessionEnds:
    """Reads what is stored, and what is not yet."""

    def __init__(self, turns: TurnReadings, queries: MessageQueries, openings: SessionOpenings) -> None:
        self._turns = turns
        self._queries = queries
        self._openings = openings

    async def find(self, user_ids: Sequence[str], session_id: str, projects: Projects = None) -> SessionEnd:
        """Return the end of the session that the first of these users has; an unknown one is new, and the first's.

        Raises:
            NotFound: It was deleted, or is of a project that a caller who is limited to these does not see.
        """
        unstored, places = await self._turns.session(user_ids, session_id)  # before what is stored: see history.py
        ends = await self._queries.ends(user_ids, session_id)
        stored = {user_id: end.kept for user_id, end in ends.items()} or await self._opened(user_ids, session_id)
        kept = {
            user_id: kept_by([turn for turn in unstored if turn.user_id == user_id], stored.get(user_id))
            for user_id in user_ids
            if user_id in places or user_id in stored
        }
        user_id = first_seen(kept, partial(sees, projects)) or user_ids[0]
        end = ends.get(user_id)
        if end is not None and end.is_deleted:
            raise NotFound("This session was deleted.")
        own = [turn for turn in unstored if turn.user_id == user_id]
        said = [said.place for turn in own for said in turn.said() if not said.is_note]
        if end is not None and end.newest is not None:
            said.append(end.newest)
        newest = max(said)[1] if said else None
        return SessionEnd(user_id, session_id, own, places.get(user_id), newest, kept.get(user_id))

    async def _opened(self, user_ids: Sequence[str], session_id: str) -> dict[str, Kept]:
        """Return what sessions are going to keep that were opened, and are not stored yet."""
        openings = await self._openings.find([(user_id, session_id) for user_id in user_ids])
        said = ((each.user_id, each.opening.get) for each in openings)
        return {user_id: Kept(get("project_id"), get("helper"), get("model")) for user_id, get in said}

    async def named(self, end: SessionEnd, names: Sequence[str]) -> Named:
        """Find messages of this session."""
        if not names:
            return Named([])
        saying = [
            turn.turn_id
            for turn in end.unstored
            if any({said.message_id, said.client_message_id} & set(names) for said in turn.said())
        ]
        turns = await self._turns.whole(saying) if saying else []
        stored = await self._queries.named(end.user_id, end.session_id, names)
        by_id = {shown.message_id: shown for turn in turns for shown in shown_of(turn)}
        by_id.update({shown.message_id: shown for shown in stored})
        return Named(sorted(by_id.values(), key=lambda shown: shown.place))
