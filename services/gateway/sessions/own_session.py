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
            NotFound: There is none, it was deleted, or it is somebody else's: nobody can tell which.
        """
        turns, _ = await self._turns.session(caller.user_ids, session_id)  # before what is stored: see history.py
        for facts in await self._queries.facts(caller.user_ids, session_id):
            own = [turn for turn in turns if turn.user_id == facts.user_id]
            view = show_session(facts, own)
            if view is not None:
                previews = await self._turns.previews([view.speaking], PREVIEW_LENGTH) if view.speaking else {}
                return OwnSession(facts, own, view.quoting(previews))
        raise NotFound("There is no such session.")
