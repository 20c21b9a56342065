"""Where a new message of a session goes: whose session it is, what came last, and what the message names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from services.gateway.account.projects import Projects, sees
from services.gateway.sessions.messages.queries import MessageQueries
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
    has_turns: bool = False  # it may have other turns, of which none is trimmed yet, than messages of its client's
    is_named: bool = False  # a stored message is called by a name that was looked for

    @property
    def is_known(self) -> bool:
        """Whether all that it has of turns is known to be messages of its client's, and to be told of."""
        return not self.has_turns and all(turn.told for turn in self.unstored)


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

    def __init__(self, turns: TurnReadings, queries: MessageQueries) -> None:
        self._turns = turns
        self._queries = queries

    async def find(
        self, user_ids: Sequence[str], session_id: str, projects: Projects = None, names: Sequence[str] = ()
    ) -> SessionEnd:
        """Return the end of the session that the first of these users has; an unknown one is new, and the first's.

        Args:
            user_ids: Who asks, the owner of what is new first.
            session_id: Which session.
            projects: Those that who asks is limited to.
            names: Of messages that are then looked for: by our ids or the client's.

        Raises:
            NotFound: It was deleted, or is of a project that a caller who is limited to these does not see.
        """
        ends = await self._queries.read_ends(user_ids, session_id, names)
        are_stored = any(end.is_stored for end in ends.values())
        kept = {
            user_id: kept_by(end.unstored, end.kept if end.is_stored or not are_stored else None)
            for user_id, end in ends.items()
            if end.place is not None or end.is_stored or (end.is_opened and not are_stored)
        }
        kept = {user_id: kept[user_id] for user_id in user_ids if user_id in kept}  # in the order of the users
        user_id = first_seen(kept, partial(sees, projects)) or user_ids[0]
        end = ends[user_id]
        if end.is_deleted:
            raise NotFound("This session was deleted.")
        said = [said.place for turn in end.unstored for said in turn.said() if not said.is_note]
        if end.newest is not None:
            said.append(end.newest)
        return SessionEnd(
            user_id,
            session_id,
            end.unstored,
            end.place,
            max(said)[1] if said else None,
            kept.get(user_id),
            has_turns=end.has_turns,
            is_named=end.is_named,
        )

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
        stored = await self._queries.named(end.user_id, end.session_id, names) if end.is_named else []
        by_id = {shown.message_id: shown for turn in turns for shown in shown_of(turn)}
        by_id.update({shown.message_id: shown for shown in stored})
        return Named(sorted(by_id.values(), key=lambda shown: shown.place))
