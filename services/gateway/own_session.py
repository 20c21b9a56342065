"""Find a session of the caller's, whether it is stored or only a turn so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.identity import Caller
from services.gateway.parts import Parts
from services.gateway.schemas import Session
from services.gateway.session_view import SessionFacts, show_session
from services.gateway.turn import Turn
from shared.errors import NotFound


@dataclass(frozen=True)
class OwnSession:
    facts: SessionFacts
    turns: Sequence[Turn]
    shown: Session

    @property
    def user_id(self) -> str:
        """The session's owner: what is written to it is written as theirs."""
        return self.facts.user_id


async def own_session(parts: Parts, caller: Caller, session_id: str) -> OwnSession:
    """Return the caller's session of this id; of two identities' sessions the first one's.

    Raises:
        NotFound: There is none, it was deleted, or it is somebody else's: nobody can tell which.
    """
    turns = await parts.store.session(caller.user_ids, session_id)  # before what is stored: see history.py
    for facts in await parts.reader.sessions.facts(caller.user_ids, session_id):
        own = [turn for turn in turns if turn.user_id == facts.user_id]
        shown = show_session(facts, own)
        if shown is not None:
            return OwnSession(facts, own, shown)
    raise NotFound("There is no such session.")
