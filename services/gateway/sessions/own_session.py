"""Find a session of the caller's, whether it is stored or only a turn so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.account.identity import Caller
from services.gateway.sessions.answers import Session
from services.gateway.sessions.queries import SessionQueries
from services.gateway.sessions.view import SessionFacts, show_session
from services.gateway.turns.readings import TurnReadings
from services.gateway.turns.said import Glimpse
from shared.errors import NotFound
from shared.preview import PREVIEW_LENGTH


@dataclass(frozen=True)
class OwnSession:
    facts: SessionFacts
    turns: Sequence[Glimpse]
    shown: Session

    @property
    def user_id(self) -> str:
        """The session's owner: what is written to it is written as theirs."""
        return self.facts.user_id


class OwnSessions:
    """The sessions of whoever calls."""

    def __init__(self, turns: TurnReadings, queries: SessionQueries) -> None:
        self._turns = turns
        self._queries = queries

    async def find(self, caller: Caller, session_id: str) -> OwnSession:
        """Return the caller's session of this id; of two identities' sessions the first one's.

        Raises:
            NotFound: There is none, it was deleted, it is somebody else's, or of a project that the caller's token does
                not name: nobody can tell which.
        """
        own = await self._first(caller, caller.user_ids, session_id)
        if own is None:
            raise NotFound("There is no such session.")
        return own

    async def owners(self, caller: Caller, session_id: str) -> Sequence[str]:
        """Return whose session of this id a caller may mean, for routes that look for something else of it.

        Only of a caller who is limited to projects the session is looked up for that.

        Raises:
            NotFound: As `find` does; of a caller who is not limited never.
        """
        return caller.user_ids if caller.projects is None else ((await self.find(caller, session_id)).user_id,)

    async def shows(self, caller: Caller, user_id: str, session_id: str) -> bool:
        """Tell whether something of this session of the caller's may be shown; one without limits sees it anyway."""
        return caller.projects is None or await self._first(caller, (user_id,), session_id) is not None

    async def _first(self, caller: Caller, user_ids: Sequence[str], session_id: str) -> OwnSession | None:
        turns, _ = await self._turns.session(user_ids, session_id)  # before what is stored: see history.py
        for facts in await self._queries.facts(user_ids, session_id):
            own = [turn for turn in turns if turn.user_id == facts.user_id]
            view = show_session(facts, own)
            if view is not None and caller.sees(view.session.project_id):
                previews = await self._turns.previews([view.speaking], PREVIEW_LENGTH) if view.speaking else {}
                return OwnSession(facts, own, view.quoting(previews))
        return None
